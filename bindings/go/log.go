//go:build cgo

package rungroup

// #include "rungroup.h"
// int go_observe_group(rg_group *group, uintptr_t handle);
import "C"

import (
	"context"
	"errors"
	"log/slog"
	"runtime/cgo"
	"time"
)

// WithLogger logs that the group stops and has stopped at Info; the actors'
// starts, interrupts and returns at Debug, or at Info a second or more after
// stopping began; stuck actors and panics at Error. What an actor returned is
// the attribute "error", the error value. A goroutine of the group's calls the
// handler, so that one that blocks holds up nobody: Run waits for it at its end,
// for a second or what is left of the grace. Nil, the default, is no log.
func WithLogger(logger *slog.Logger) Option {
	return func(g *Group) { g.logger = logger }
}

var slowStop = time.Second // after stopping began what happens is logged at Info

const (
	lastRecords = time.Second           // how long Run waits for the handler at its end
	leastWait   = 10 * time.Millisecond // likewise, even when the grace is over
)

// journal takes in the events of a run, and has them logged.
type journal struct {
	group    *group
	handle   cgo.Handle
	stopping time.Duration // -1 before
	records  chan slog.Record
	done     chan struct{}
}

// openJournal starts the journal of a group with a logger. With the lock.
func (g *group) openJournal() *journal {
	if g.logger == nil {
		return nil
	}
	room := 7*len(g.actors) + 4 // as many as there can be
	j := &journal{group: g, stopping: -1, records: make(chan slog.Record, room), done: make(chan struct{})}
	j.handle = cgo.NewHandle(j)
	C.go_observe_group(g.lib.group, C.uintptr_t(j.handle))
	go j.write(g.logger)
	return j
}

// write calls the handler.
func (j *journal) write(logger *slog.Logger) {
	defer func() {
		if value := recover(); value != nil {
			_ = j.group.panics("", value)
		}
		close(j.done)
	}()
	for r := range j.records {
		if logger.Enabled(context.Background(), r.Level) {
			_ = logger.Handler().Handle(context.Background(), r) // log/slog ignores it, too
		}
	}
}

// close waits for the last records, no longer than lastRecords and the grace.
func (j *journal) close(graceLeft time.Duration) {
	if j == nil {
		return
	}
	j.handle.Delete()
	close(j.records)
	timer := time.NewTimer(max(leastWait, min(graceLeft, lastRecords)))
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	}
}

// events are how events are logged.
var events = map[C.int]struct {
	level   slog.Level
	message string
}{
	C.RG_EVENT_STARTED:      {slog.LevelDebug, "actor started"},
	C.RG_EVENT_RETURNED:     {slog.LevelDebug, "actor returned"},
	C.RG_EVENT_STOPPING:     {slog.LevelInfo, "group stopping"},
	C.RG_EVENT_INTERRUPTING: {slog.LevelDebug, "interrupting actor"},
	C.RG_EVENT_INTERRUPTED:  {slog.LevelDebug, "interrupt returned"},
	C.RG_EVENT_STUCK:        {slog.LevelError, "actor stuck"},
	C.RG_EVENT_STOPPED:      {slog.LevelInfo, "group stopped"},
}

//export goObserve
func goObserve(e *C.rg_event, handle C.uintptr_t) {
	j := cgo.Handle(handle).Value().(*journal)
	event, at, index := events[e.kind], time.Duration(e.time_ns), int(e.index)
	r := slog.NewRecord(time.Now(), event.level, event.message, 0)
	r.AddAttrs(slog.Duration("at", at))
	if index >= 0 {
		r.AddAttrs(slog.String("actor", C.GoString(e.actor)))
	}
	if j.stopping >= 0 && at-j.stopping >= slowStop {
		r.Level = max(r.Level, slog.LevelInfo)
	}
	var err error
	switch e.kind {
	case C.RG_EVENT_STOPPING:
		j.stopping = at
		fallthrough
	case C.RG_EVENT_RETURNED:
		err = j.group.errorOf(index, int(e.code))
		fallthrough
	case C.RG_EVENT_STOPPED:
		r.AddAttrs(slog.Int("code", int(e.code)))
	case C.RG_EVENT_INTERRUPTED:
		err = j.group.actors[index].interruptErr
		if said := C.GoString(e.message); err == nil && said != "" {
			err = errors.New(said) // of C code's
		}
	}
	if err != nil {
		if _, panicked := err.(*PanicError); panicked {
			r.Level = slog.LevelError
		}
		r.AddAttrs(slog.Any("error", err))
	}
	j.records <- r // never waits: there is room for all
}
