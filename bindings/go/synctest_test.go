//go:build cgo && go1.25

// For synctest, which takes no other timers.
//go:debug asynctimerchan=0

package rungroup

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// In a bubble, where an hour is nothing, a group does what it does elsewhere,
// and its report's times, which are the library's, fit together.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := errors.New("three hours are over")
		var g Group
		for i := 0; i < 2; i++ {
			execute, stop := waiter(nil)
			g.Add(execute, func(err error) { time.Sleep(time.Hour); stop(err) })
		}
		g.Add(func() error { time.Sleep(3 * time.Hour); return first }, func(error) {})
		began := time.Now()
		if err := g.Run(); err != first {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(began); took != 5*time.Hour {
			t.Errorf("Run took %v of the bubble's time", took)
		}
		report := g.Report()
		before := report.StoppingAfter
		for _, actor := range report.Actors {
			if actor.Interrupting < before || actor.Interrupted < actor.Interrupting || report.Duration < actor.Interrupted {
				t.Errorf("the interrupts do not follow one another:\n%v", report.Actors)
			}
			before = actor.Interrupted
		}
	})
}
