//go:build cgo

package rungroup

import (
	"log/slog"
	"time"
)

// State is how far an actor has come.
type State int

const (
	// StateAdded is not started.
	StateAdded State = iota
	// StateRunning is that its execute has not returned.
	StateRunning
	// StateReturned is that its execute has returned.
	StateReturned
	// StatePanicked is that its execute panicked, or left its goroutine.
	StatePanicked
)

// Report is what became of a group and its actors; see [Group.Report]. It is a
// copy, which nothing changes any more.
type Report struct {
	// Err is what Run returned; nil before.
	Err error
	// Code is what C's rg_run would have returned; 0 before.
	Code int
	// Finished is whether the run is over.
	Finished bool
	// Stopped is whether stopping has begun; then there is a cause.
	Stopped bool
	// Cause is the index of the actor that ended the group; -1: a Stop, or
	// stopping has not begun.
	Cause int
	// CauseCode is the cause's code: 0 for a nil error, 1 for another that
	// says nothing else by a method Code or ExitCode.
	CauseCode int
	// Message is the text of the cause's error, "" if it is nil.
	Message string
	// StoppingAfter is how long after the run's begin stopping began.
	StoppingAfter time.Duration
	// Duration is how long the run took, or has taken.
	Duration time.Duration
	// Actors are in order of addition.
	Actors []ActorReport

	summary summary
	records []record
}

// ActorReport is what became of an actor. Times are since the run's begin; -1:
// it has not happened.
type ActorReport struct {
	// Name is the actor's name.
	Name string
	// State is how far it has come.
	State State
	// Err is what its execute returned; nil for an actor of C code.
	Err error
	// Code is the code of that error; see [Report].
	Code int
	// Message is the text of that error, or what C code said.
	Message string
	// Complaint is what went wrong in its interrupt: a panic, say; or "".
	Complaint string
	// StuckExecute and StuckInterrupt are what had not returned when the grace
	// was over.
	StuckExecute, StuckInterrupt bool
	// Started and Returned are when its execute was called and returned.
	Started, Returned time.Duration
	// Interrupting and Interrupted are when its interrupt was called and
	// returned.
	Interrupting, Interrupted time.Duration
}

// Report tells what became of the actors, before, during or after Run.
func (g *Group) Report() *Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	kept := g.kept
	if kept == nil {
		r := g.run
		if r == nil {
			if g.opened() != nil {
				return &Report{Cause: -1}
			}
			r = newRun(g)
		} else {
			// What the goroutine in Run has not told yet.
			r.tell(r.untold())
			r.wakeUp()
		}
		kept = r.snapshot()
		kept.Message = text(r.messageError(kept))
		kept.describe(r)
		return kept
	}
	if kept.Actors == nil {
		kept.describe(g.run)
	}
	copied := *kept
	copied.Actors = append([]ActorReport(nil), kept.Actors...)
	return &copied
}

// messageError is the cause's error, if there is a cause.
func (r *run) messageError(report *Report) error {
	if !report.Stopped {
		return nil
	}
	return r.causeError(report.cause())
}

// snapshot asks the library. Texts are left to describe.
func (r *run) snapshot() *Report {
	report := &Report{records: make([]record, len(r.actors))}
	r.native.snapshot(report)
	r.read(report)
	return report
}

// read makes Go's of what the library said.
func (r *run) read(report *Report) {
	s := &report.summary
	report.Code, report.Finished, report.Stopped = int(s.code), s.finished != 0, s.stopping != 0
	report.Cause, report.CauseCode = int(s.cause_index), int(s.cause_code)
	report.StoppingAfter, report.Duration = time.Duration(s.stopping_ns), time.Duration(s.end_ns)
	if r.shared && report.Finished {
		// The library's texts do not outlive its group.
		report.Message = text(r.messageError(report))
		report.describe(r)
	}
}

// describe fills the actors in.
func (report *Report) describe(r *run) {
	if report.Finished {
		report.Message = text(r.cause)
	}
	report.Actors = make([]ActorReport, len(report.records))
	for i, rec := range report.records {
		to := &report.Actors[i]
		to.Name = r.name(i)
		to.State, to.Code = State(rec.state), int(rec.code)
		to.StuckExecute, to.StuckInterrupt = rec.stuck&1 != 0, rec.stuck&2 != 0
		to.Started = time.Duration(report.summary.started_ns)
		to.Returned = time.Duration(rec.returned_ns)
		to.Interrupting = time.Duration(rec.interrupting_ns)
		to.Interrupted = time.Duration(rec.interrupted_ns)
		if r.actors[i].execute == nil {
			_, to.Message, to.Complaint = r.native.texts(i)
			continue
		}
		if to.State >= StateReturned {
			to.Err = r.errs[i]
			to.Message = text(to.Err)
		}
		if to.Interrupted >= 0 {
			r.mu.Lock()
			to.Complaint = text(r.complaints[i])
			r.mu.Unlock()
		}
	}
}

func (report *Report) cause() (index, code int) { return report.Cause, report.CauseCode }

// stuckHere is how many functions of the actor are stuck.
func (report *Report) stuckHere(index int) int {
	stuck := report.records[index].stuck
	return int(stuck&1 + stuck>>1&1)
}

// String is the report for people: who ended the group and why, a line an actor,
// with a bar for its time to stop, the stuck ones named first.
func (report *Report) String() string { return report.format(false) }

// Trace is the report as JSON in the trace event form, which trace viewers open.
func (report *Report) Trace() string { return report.format(true) }

func (report *Report) format(trace bool) string {
	return format(report.summary, report.Message, report.Actors, report.records, trace)
}

// describe is how an event is logged.
func (e logged) describe() (slog.Level, string) {
	switch e.kind {
	case eventStarted:
		return slog.LevelDebug, "actor started"
	case returned:
		return slog.LevelDebug, "actor returned"
	case eventStopping:
		return slog.LevelInfo, "group stopping"
	case eventInterrupting:
		return slog.LevelDebug, "interrupting actor"
	case interrupted:
		return slog.LevelDebug, "interrupt returned"
	case eventStuck:
		return slog.LevelError, "actor stuck"
	}
	return slog.LevelInfo, "group stopped"
}

func (e logged) hasCode() bool {
	return e.kind == returned || e.kind == eventStopping || e.kind == eventStopped
}

// logText is what goes with a logged event.
func (r *run) logText(e logged) string {
	if r.actors[e.index].execute == nil {
		_, message, complaint := r.native.texts(e.index)
		if e.kind == interrupted {
			return complaint
		}
		return message
	}
	switch e.kind {
	case returned, eventStopping:
		return text(r.errs[e.index])
	case interrupted:
		r.mu.Lock()
		defer r.mu.Unlock()
		return text(r.complaints[e.index])
	}
	return ""
}
