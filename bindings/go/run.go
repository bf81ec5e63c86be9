//go:build cgo

package rungroup

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	_ "unsafe" // for linkname
)

// run is a group's run: it tells the library what happened, and carries out
// what it says next. Actors append what happens to events; the goroutine in
// Run takes them from there, many at once.
type run struct {
	group  *Group
	native *native
	shared bool
	actors []actor
	names  map[int]string
	// heard are the signals that the library's own actors listen for.
	heard []os.Signal

	// errs are the actors' errors, each written by its actor before its event.
	errs []error
	// Of runs with a grace, for the stacks of those that are stuck.
	executeIDs, interruptIDs []atomic.Uint64

	// Of the goroutine in Run: what is next, and what is left to do of a row of
	// interrupts.
	step stepper
	row  row
	// told is how many of events the library had been told when it gave step,
	// ended how many interrupts this goroutine has called itself since.
	told, ended int
	interrupts  log
	cause       error
	caused      bool

	wake       chan struct{}
	mu         sync.Mutex // of complaints
	complaints map[int]error

	// kept becomes the group's report.
	kept Report
	// Last, away from what the goroutine in Run writes: all actors write to it.
	events queue
}

// few actors, as a process usually has, have a run in one piece of memory:
// making a small group costs little else.
const few = 4

type runOfFew struct {
	run
	errs       [few]error
	events     [few]event
	interrupts [few]event
	records    [few]record
}

// newRun is ready for events, which come once its goroutines are started.
func newRun(g *Group) *run {
	count := len(g.actors)
	var r *run
	if count <= few {
		all := new(runOfFew)
		r = &all.run
		r.errs, r.kept.records = all.errs[:count], all.records[:count]
		r.events.slots, r.interrupts.slots = all.events[:count], all.interrupts[:count]
	} else {
		r = &run{errs: make([]error, count)}
		r.kept.records = make([]record, count)
	}
	if g.graced {
		// The interrupts end in goroutines of their own.
		r.events.slots = make([]event, 2*count)
		r.executeIDs = make([]atomic.Uint64, count)
		r.interruptIDs = make([]atomic.Uint64, count)
	} else if count > few {
		r.events.slots, r.interrupts.slots = make([]event, count), make([]event, count)
	}
	r.group, r.native, r.shared = g, g.native, g.shared
	r.actors, r.names = g.actors, g.names
	r.wake = make(chan struct{}, 1)
	return r
}

// drive starts the goroutines and does what the library says, to the end.
func (r *run) drive(first action) (err error) {
	if first != finish {
		if r.shared {
			stop, watchErr := r.watch()
			if watchErr != nil {
				// No descriptor is left: the library's actors are asked
				// for now and then.
				stop = r.tick()
			}
			defer stop()
			defer r.survive()()
		}
		for i := range r.actors {
			if r.actors[i].execute != nil {
				go r.execute(i)
			}
		}
	}
	r.log()
	r.steps(first)
	return r.finish()
}

// steps goes on to the end also when an interrupt ends this goroutine.
func (r *run) steps(next action) {
	ended := false
	defer func() {
		if !ended {
			r.steps(interruptRow)
			r.finish()
		}
	}()
	for next != finish {
		if next == interruptRow {
			r.interruptRow()
		}
		r.await()
		next = r.advance()
	}
	ended = true
}

// advance reports what happened, and gives what is next.
func (r *run) advance() action {
	g := r.group
	g.mu.Lock()
	next, err := r.report()
	r.told, r.ended = r.events.taken, 0
	if err != nil {
		g.mu.Unlock()
		panic("rungroup: the library refused what happened: " + err.Error())
	}
	r.follow(next)
	if r.native.group == nil {
		r.end()
	}
	g.mu.Unlock()
	r.log()
	return next
}

// follow takes in what the library says is next, with the group's lock held.
func (r *run) follow(next action) {
	if next != wait {
		r.group.closeStops()
	}
	if next == interruptRow {
		r.row = r.step.row()
		if !r.caused {
			r.cause, r.caused = r.causeError(r.step.cause()), true
		}
	}
}

func (r *run) report() (action, error) {
	if r.shared || r.group.logger != nil {
		// The library is asked more, once all is over.
		events := r.untold()
		if r.shared {
			r.tell(events)
			events = nil
		}
		return r.native.report(events, now(), &r.step)
	}
	return r.native.reportLast(r.interrupts.take(), r.events.take(), now(), &r.step, &r.kept)
}

// now is the time that the library is told, on its own clock. In a bubble of
// testing/synctest, time.Since has another; and to look for a bubble, as it does
// everywhere, costs a small group some 3% of its cycle.
//
//go:linkname now runtime.nanotime
func now() int64

// untold is what happened and the library was not told, in order.
func (r *run) untold() []event {
	events := append([]event(nil), r.interrupts.take()...)
	events = append(events, r.events.take()...)
	sort.SliceStable(events, func(i, j int) bool { return events[i].time_ns < events[j].time_ns })
	return events
}

// tell tells it, with the texts where C code may ask for them.
func (r *run) tell(events []event) {
	if !r.shared {
		r.native.tell(events, now())
		return
	}
	for _, e := range events {
		r.native.tellWith(e, r.said(e))
	}
}

// said is what goes with an event.
func (r *run) said(e event) string {
	if e.kind == returned {
		return text(r.errs[e.index])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return text(r.complaints[int(e.index)])
}

// await waits for so many events, or so long.
func (r *run) await() {
	if r.events.await(r.told + r.step.returns() - r.ended) {
		return
	}
	nanos := r.step.waitNanos()
	if nanos < 0 {
		<-r.wake
		return
	}
	timer := time.NewTimer(time.Duration(nanos))
	select {
	case <-r.wake:
	case <-timer.C:
	}
	timer.Stop()
}

func (r *run) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// happened is called by the goroutine of an actor or an interrupt, at its end.
func (r *run) happened(kind, index, code int) {
	enough, last := r.events.put(newEvent(kind, index, code, now()))
	if enough {
		r.wakeUp()
	}
	if last {
		r.release()
	}
}

// execute runs an actor.
func (r *run) execute(index int) {
	if r.executeIDs != nil {
		r.executeIDs[index].Store(goroutineID())
	}
	err := ErrExited
	done := false
	defer func() {
		if !done {
			if value := recover(); value != nil {
				err = &PanicError{r.nameOfGo(index), value, debug.Stack()}
			}
		}
		if err != nil {
			r.errs[index] = err
		}
		r.happened(returned, index, codeOf(err))
	}()
	err = r.actors[index].execute()
	done = true
}

// interruptRow calls the interrupts of a row, one after another. With a grace
// each has a goroutine of its own, so that one that blocks holds up nobody.
func (r *run) interruptRow() {
	for r.row.left > 0 {
		index := r.row.next()
		if r.group.graced {
			go r.interrupt(index)
		} else {
			r.interrupt(index)
		}
	}
}

func (r *run) interrupt(index int) {
	if r.interruptIDs != nil {
		r.interruptIDs[index].Store(goroutineID())
	}
	done := false
	defer func() {
		if !done {
			complaint := ErrExited
			if value := recover(); value != nil {
				complaint = &PanicError{r.nameOfGo(index), value, debug.Stack()}
			}
			r.mu.Lock()
			if r.complaints == nil {
				r.complaints = make(map[int]error)
			}
			r.complaints[index] = complaint
			r.mu.Unlock()
		}
		if r.group.graced {
			r.happened(interrupted, index, 0)
		} else {
			r.interrupts.put(newEvent(interrupted, index, 0, now()))
			r.ended++
		}
	}()
	r.actors[index].interrupt(r.cause)
	done = true
}

// watch wakes the driver when the library has something new to say of what it
// runs itself. The goroutine waits in Go's poller.
func (r *run) watch() (stop func(), err error) {
	r.group.mu.Lock()
	fd, err := r.native.wakes()
	r.group.mu.Unlock()
	if err != nil {
		return nil, err
	}
	own, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(own)
	file := os.NewFile(uintptr(own), "rungroup")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var count [8]byte
		for {
			if _, err := file.Read(count[:]); err != nil {
				return
			}
			r.wakeUp()
		}
	}()
	return func() {
		file.Close()
		<-ended
	}, nil
}

// survive keeps Go's runtime, which is handed the signals of the library's
// actors on, from ending the process for want of a channel that asks for them.
func (r *run) survive() (stop func()) {
	ignored := make(chan os.Signal, 1)
	if len(r.heard) > 0 {
		signal.Notify(ignored, r.heard...)
	}
	return func() { signal.Stop(ignored) }
}

// tick is a watch without a descriptor.
func (r *run) tick() (stop func()) {
	ticker := time.NewTicker(10 * time.Millisecond)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				r.wakeUp()
			case <-end:
				return
			}
		}
	}()
	return func() {
		ticker.Stop()
		close(end)
		<-ended
	}
}

// causeError is the error of the first actor to return, or of the stop.
func (r *run) causeError(index, code int) error {
	switch {
	case index >= 0 && r.actors[index].execute != nil:
		return r.errs[index]
	case index >= 0:
		name, message, _ := r.native.texts(index)
		return actorError(name, message, code)
	case r.group.stopped != nil:
		return r.group.stopped
	}
	return actorError("", "", code)
}

func actorError(name, message string, code int) error {
	if code == 0 {
		return nil
	}
	return &ActorError{name, message, code}
}

// finish gives the result of the run.
func (r *run) finish() error {
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		r.native.snapshot(&r.kept)
		r.end()
	}
	return r.kept.Err
}

// end keeps the report, and gives the library's group back, or leaves that to
// the last stuck goroutine. It is called with the lock.
func (r *run) end() {
	g, kept := r.group, &r.kept
	r.read(kept)
	g.kept, g.over, g.native = kept, true, nil
	if kept.Stopped && !r.caused {
		r.cause, r.caused = r.causeError(kept.cause()), true
	}
	kept.Err = r.cause
	if !r.step.stuck() {
		r.native.close()
		return
	}
	kept.Err = r.stuckError(kept)
	late := 0
	for i, actor := range r.actors {
		if actor.execute != nil {
			late += kept.stuckHere(i) // an event each
		}
	}
	if r.events.end(r.events.taken + late) {
		r.releaseLocked()
	}
}

// release is called once the last stuck goroutine has returned (rule 11).
func (r *run) release() {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	r.releaseLocked()
}

func (r *run) releaseLocked() {
	if r.native.group == nil {
		return // the last one came as end looked
	}
	r.native.tell(r.events.take(), now())
	r.native.close()
}

func (r *run) nameOfGo(index int) string {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	return r.name(index)
}

// log hands the library's events to the logger.
func (r *run) log() {
	logger := r.group.logger
	if logger == nil {
		return
	}
	g := r.group
	g.mu.Lock()
	events := r.native.fetchLog()
	names := make([]string, len(events))
	said := make([]string, len(events))
	for i, e := range events {
		if e.index >= 0 {
			names[i] = r.name(e.index)
			said[i] = r.logText(e)
		}
	}
	g.mu.Unlock()
	for i, e := range events {
		level, message := e.describe()
		attributes := []slog.Attr{slog.Duration("at", time.Duration(e.nanos))}
		if e.index >= 0 {
			attributes = append(attributes, slog.String("actor", names[i]))
		}
		if e.hasCode() {
			attributes = append(attributes, slog.Int("code", e.code))
		}
		if said[i] != "" {
			attributes = append(attributes, slog.String("message", said[i]))
		}
		logger.LogAttrs(context.Background(), level, message, attributes...)
	}
}
