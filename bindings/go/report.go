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
	// StateAdded is that the actor was not started.
	StateAdded State = iota
	// StateRunning is that its execute has not returned.
	StateRunning
	// StateReturned is that its execute has returned.
	StateReturned
	// StatePanicked is that its execute panicked, or left its goroutine.
	StatePanicked
)

// Report is what became of a group and its actors. It is a copy, which nothing
// changes any more.
type Report struct {
	// Err is what Run returned; nil before.
	Err error
	// Code is what C's rg_run would have returned; 0 before.
	Code int
	// Finished is whether the run is over.
	Finished bool
	// Stopped is whether stopping has begun; then there is a cause.
	Stopped bool
	// Cause is the index of the actor that ended the group (rule 4); -1: a
	// Stop, or stopping has not begun.
	Cause int
	// CauseCode is the cause's code: 0 for a nil error, 1 for an error that
	// says nothing else by a method Code or ExitCode in its chain.
	CauseCode int
	// Message is the text of the cause's error, "" if it is nil; of a panic,
	// the text of its value.
	Message string
	// StoppingAfter is how long after the run's begin stopping began.
	StoppingAfter time.Duration
	// Duration is how long the run took, or has taken.
	Duration time.Duration
	// Actors are in order of addition.
	Actors []ActorReport

	started, grace time.Duration
	order          Order
}

// ActorReport is what became of an actor. Times are since the run's begin; -1:
// it has not happened.
type ActorReport struct {
	// Name is the actor's name.
	Name string
	// State is how far it has come.
	State State
	// Err is what its execute returned; for an actor of C code an [*ActorError]
	// if the code is not 0.
	Err error
	// Code is the code of that error; see CauseCode of [Report].
	Code int
	// Message is the text of that error, or what C code said.
	Message string
	// InterruptErr is what went wrong in its interrupt: a [*PanicError], or
	// [ErrExited]. Nil for an actor of C code.
	InterruptErr error
	// Complaint is the text of that error, or what C code said.
	Complaint string
	// StuckExecute and StuckInterrupt are which functions had not returned when
	// the grace was over. StuckThread is that an execute of C code's had
	// returned, but its thread had not ended.
	StuckExecute, StuckInterrupt, StuckThread bool
	// Started and Returned are when its execute was called and returned.
	Started, Returned time.Duration
	// Interrupting and Interrupted are when its interrupt was called and
	// returned.
	Interrupting, Interrupted time.Duration
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
	report.Actors = make([]ActorReport, len(g.actors))
	for i := range report.Actors {
		to := &report.Actors[i]
		*to = g.lib.actor(i)
		if to.State >= StateReturned {
			to.Err = g.errorOf(i, to.Code)
		}
		if to.Interrupted >= 0 {
			to.InterruptErr = g.actors[i].interruptErr
		}
	}
	return report
}

// name is an actor's name.
func (g *group) name(index int) string { return g.lib.actor(index).Name }

// String returns the report for people: who ended the group and why, a line an
// actor, with a bar for its time to stop, the stuck ones named first; and the
// stacks of panics.
func (report *Report) String() string {
	var text strings.Builder
	text.WriteString(report.format(formatText))
	for _, actor := range report.Actors {
		for _, err := range []error{actor.Err, actor.InterruptErr} {
			if panicked, ok := err.(*PanicError); ok {
				fmt.Fprintf(&text, "\n%+v", panicked)
			}
		}
	}
	return text.String()
}

// Trace returns the report as JSON in the trace event form, which trace viewers
// open.
func (report *Report) Trace() string { return report.format(formatTrace) }
