//go:build cgo

package rungroup

// #include "native.h"
import "C"

import (
	"context"
	"log/slog"
	"runtime/cgo"
	"time"
)

// WithLogger has a logger told what happens: that the group stops and has
// stopped at Info; the actors' starts, interrupts and returns at Debug, or at
// Info if they come a second or more after stopping began; stuck actors and
// panics at Error. What an actor returned is the attribute "error", as the
// error value. A goroutine of the group's calls the handler, so that one that
// blocks holds up nobody: at its end Run waits for the handler for a second, or
// for what is left of the grace. Nil, the default, is no log.
func WithLogger(logger *slog.Logger) Option {
	return func(g *Group) { g.logger = logger }
}

// slowStop is how long after stopping began what happens is logged at Info.
var slowStop = time.Second

const (
	// lastRecords is how long Run waits at its end for the handler.
	lastRecords = time.Second
	// leastWait is how long Run waits for it even when the grace is over.
	leastWait = 10 * time.Millisecond
)

// journal takes events in while next is called, and has them logged.
type journal struct {
	group    *group
	handle   cgo.Handle
	stopping time.Duration // -1 before
	records  chan logRecord
	done     chan struct{}
}

type logRecord struct {
	level      slog.Level
	message    string
	attributes []slog.Attr
}

// openJournal starts the journal of a group with a logger. With the lock.
func (g *group) openJournal() *journal {
	if g.logger == nil {
		return nil
	}
	// As many as there can be: at most seven events an actor, and the group's.
	room := 7*len(g.actors) + 4
	j := &journal{group: g, stopping: -1, records: make(chan logRecord, room), done: make(chan struct{})}
	j.handle = cgo.NewHandle(j)
	g.lib.observe(uintptr(j.handle))
	go j.write(g.logger)
	return j
}

// write calls the handler.
func (j *journal) write(logger *slog.Logger) {
	defer close(j.done)
	defer func() {
		if value := recover(); value != nil {
			_ = j.group.panics("", value)
		}
	}()
	for r := range j.records {
		logger.LogAttrs(context.Background(), r.level, r.message, r.attributes...)
	}
}

// close waits for the last records to be written, no longer than the limit.
func (j *journal) close(limit time.Duration) {
	if j == nil {
		return
	}
	j.handle.Delete()
	close(j.records)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	}
}

// logLimit is how long Run, at its end, waits for the journal.
func (g *group) logLimit() time.Duration {
	if !g.graced || g.journal == nil {
		return lastRecords
	}
	summary := g.lib.summary()
	left := g.grace - (summary.Duration - summary.StoppingAfter)
	return max(leastWait, min(left, lastRecords))
}

//export goObserve
func goObserve(e *C.rg_event, handle C.uintptr_t) {
	j := cgo.Handle(handle).Value().(*journal)
	at, index := time.Duration(e.time_ns), int(e.index)
	r := logRecord{level: slog.LevelDebug, attributes: []slog.Attr{slog.Duration("at", at)}}
	if j.stopping >= 0 && at-j.stopping >= slowStop {
		r.level = slog.LevelInfo
	}
	if index >= 0 {
		r.attributes = append(r.attributes, slog.String("actor", C.GoString(e.actor)))
	}
	var err error
	hasCode := false
	switch e.kind {
	case C.RG_EVENT_STARTED:
		r.message = "actor started"
	case C.RG_EVENT_RETURNED:
		r.message, hasCode = "actor returned", true
		err = j.group.errorOf(index, int(e.code))
	case C.RG_EVENT_STOPPING:
		r.level, r.message, hasCode = slog.LevelInfo, "group stopping", true
		err = j.group.errorOf(index, int(e.code))
		j.stopping = at
	case C.RG_EVENT_INTERRUPTING:
		r.message = "interrupting actor"
	case C.RG_EVENT_INTERRUPTED:
		r.message = "interrupt returned"
		if complaint := C.GoString(e.message); complaint != "" {
			r.attributes = append(r.attributes, slog.String("complaint", complaint))
		}
		err = j.group.actors[index].interruptErr
	case C.RG_EVENT_STUCK:
		r.level, r.message = slog.LevelError, "actor stuck"
	case C.RG_EVENT_STOPPED:
		r.level, r.message, hasCode = slog.LevelInfo, "group stopped", true
	default:
		return
	}
	if hasCode {
		r.attributes = append(r.attributes, slog.Int("code", int(e.code)))
	}
	if err != nil {
		if _, panicked := err.(*PanicError); panicked && e.kind != C.RG_EVENT_STOPPING {
			r.level = slog.LevelError
		}
		r.attributes = append(r.attributes, slog.Any("error", err))
	}
	select {
	case j.records <- r:
	default: // never: there is room for all
	}
}
