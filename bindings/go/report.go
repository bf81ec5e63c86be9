//go:build cgo

package rungroup

import (
	"fmt"
	"strings"
	"time"
)

// State is how far an actor has come.
type State int

const (
	StateAdded    State = iota // not started
	StateRunning               // its execute has not returned
	StateReturned              // its execute has returned
	StatePanicked              // its execute panicked, or left its goroutine
)

// Report is what became of a group and its actors. It is a copy, which nothing
// changes any more.
type Report struct {
	Err      error // what Run returned; nil before
	Code     int   // what C's rg_run would have returned; 0 before
	Finished bool  // the run is over
	Stopped  bool  // stopping has begun; then there is a cause
	Cause    int   // the index of the actor that ended the group (rule 4); -1: a Stop, or none
	// CauseCode is the cause's code: 0 for a nil error, otherwise what a method
	// Code or ExitCode in its chain returns, or 1. Message is its text; of a
	// panic, the text of the value.
	CauseCode     int
	Message       string
	StoppingAfter time.Duration // from the run's begin to stopping's; -1: not yet
	Duration      time.Duration // how long the run took, or has taken
	Actors        []ActorReport // in order of addition

	text, trace string
}

// ActorReport is what became of an actor. Times are since the run's begin; -1:
// it has not happened.
type ActorReport struct {
	Name  string
	State State
	// Err is what its execute returned; for an actor of C code an [*ActorError]
	// if the code is not 0. Code and Message are that error's, or what C code
	// said; see [Report].
	Err     error
	Code    int
	Message string
	// InterruptErr is what went wrong in its interrupt: a [*PanicError], or [ErrExited];
	// nil for an actor of C code. Complaint is its text, or what C code said.
	InterruptErr error
	Complaint    string
	// StuckExecute and StuckInterrupt are which functions had not returned when
	// the grace was over. StuckThread is that an execute of C code's had
	// returned, but its thread had not ended.
	StuckExecute, StuckInterrupt, StuckThread bool
	// ExecuteStack and InterruptStack are the stacks of their goroutines then,
	// without this package's frames; "" for C code, and for an actor that has
	// changed its goroutine's labels (see package runtime/pprof).
	ExecuteStack, InterruptStack string
	// Started and Returned are when its execute was called and returned;
	// Interrupting and Interrupted when its interrupt was.
	Started, Returned, Interrupting, Interrupted time.Duration
}

// Report returns what became of the actors, before, during or after Run. Any
// goroutine may call it.
func (g *group) Report() *Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept != nil {
		report := *g.kept
		report.Actors = append([]ActorReport(nil), g.kept.Actors...)
		return &report
	}
	if g.open() != nil {
		return &Report{Cause: -1}
	}
	return g.report()
}

// report asks the library. With the lock.
func (g *group) report() *Report {
	report := g.lib.summary()
	if report.Finished {
		report.Err = g.err
	}
	report.Actors = g.actorReports()
	return report
}

// actorReports asks it for the actors alone. With the lock.
func (g *group) actorReports() []ActorReport {
	reports := make([]ActorReport, len(g.actors))
	for i := range reports {
		to := &reports[i]
		*to = g.lib.actor(i)
		if to.State >= StateReturned {
			to.Err = g.errorOf(i, to.Code)
		}
		if to.Interrupted >= 0 {
			to.InterruptErr = g.actors[i].interruptErr
		}
		if to.StuckExecute {
			to.ExecuteStack = g.stacks["execute "+g.number(i)]
		}
		if to.StuckInterrupt {
			to.InterruptStack = g.stacks["interrupt "+g.number(i)]
		}
	}
	return reports
}

// String returns the report for people: who ended the group and why, a line an actor,
// with a bar for its time to stop, the stuck ones named first; and the stacks of panics.
func (report *Report) String() string {
	var text strings.Builder
	text.WriteString(report.text)
	for _, actor := range report.Actors {
		for _, err := range []error{actor.Err, actor.InterruptErr} {
			if panicked, ok := err.(*PanicError); ok {
				fmt.Fprintf(&text, "\n%+v", panicked)
			}
		}
	}
	return text.String()
}

// Trace returns the report as JSON in the trace event form, which trace viewers open.
func (report *Report) Trace() string { return report.trace }
