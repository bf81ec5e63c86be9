package drop_in

import (
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"github.com/oklog/run"
	"rungroup"
)

type group interface {
	Add(execute func() error, interrupt func(error))
	Run() error
}

// program runs a random group, and says what happened: which interrupt was called
// with which error, one after another, and what Run returned. One actor returns
// by itself; the others when their own interrupt, or another's, is called.
func program(g group, seed int64) string {
	random := rand.New(rand.NewSource(seed))
	count := random.Intn(8)
	first := 0
	if count > 0 {
		first = random.Intn(count)
	}
	said := ""
	stops := make([]chan struct{}, count)
	for i := range stops {
		stops[i] = make(chan struct{})
	}
	// lets[i] are the actors that the interrupt of i makes return.
	lets := make([][]int, count)
	for i := range stops {
		by := random.Intn(count)
		lets[by] = append(lets[by], i)
	}
	for i := 0; i < count; i++ {
		i := i
		var err error
		if random.Intn(3) > 0 {
			err = fmt.Errorf("actor %d", i)
		}
		if random.Intn(5) == 0 {
			err = errors.Join(err, errors.New("joined"))
		}
		g.Add(func() error {
			if i != first {
				<-stops[i]
			}
			return err
		}, func(err error) {
			said += fmt.Sprintf("%d: %v\n", i, err)
			for _, other := range lets[i] {
				close(stops[other])
			}
		})
	}
	return said + fmt.Sprintf("Run: %v\n", g.Run())
}

// Random programs do as with oklog/run, and so they do with a grace.
func TestSameAsOklogRun(t *testing.T) {
	for seed := int64(0); seed < 20000; seed++ {
		theirs := program(new(run.Group), seed)
		for name, g := range map[string]group{
			"a Group":          new(rungroup.Group),
			"one with a grace": rungroup.New(rungroup.WithGrace(1 << 40)),
		} {
			if ours := program(g, seed); ours != theirs {
				t.Fatalf("seed %d, %s:\n%s\noklog/run:\n%s", seed, name, ours, theirs)
			}
		}
	}
}
