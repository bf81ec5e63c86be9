//go:build cgo && go1.25

// For synctest, which takes no other timers.
//go:debug asynctimerchan=0

package rungroup

import (
	"errors"
	"io"
	"syscall"
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

// With a grace: what ends within it in the bubble's time ends so; what does not
// is stuck, after a wait in real time that costs no processor time.
func TestGraceInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const grace = 300 * time.Millisecond
		g := New(WithGrace(grace))
		execute, stop := waiter(nil)
		g.Add(func() error { execute(); time.Sleep(grace - time.Millisecond); return nil }, stop)
		g.Add(func() error { time.Sleep(3 * time.Hour); return io.EOF }, func(error) {})
		if err := g.Run(); err != io.EOF {
			t.Errorf("Run returned %v", err)
		}

		g = New(WithGrace(grace))
		execute, stop = waiter(nil)
		g.Add(func() error { execute(); time.Sleep(time.Hour); return nil }, stop)
		g.Add(func() error { return io.EOF }, func(error) {})
		before := processorTime()
		began := time.Now()
		var stuck *StuckError
		if err := g.Run(); !errors.As(err, &stuck) {
			t.Errorf("Run returned %v", err)
		}
		if took := time.Since(began); took > grace || took < grace/2 {
			t.Errorf("Run took %v of the bubble's time", took)
		}
		if used := processorTime() - before; used > grace/2 {
			t.Errorf("it used the processor for %v", used)
		}
		time.Sleep(2 * time.Hour) // until the stuck actor ends
	})
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
