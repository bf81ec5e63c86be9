//go:build cgo

package rungroup

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"
)

// Run runs the actors, waits for the first to return, interrupts all in order,
// and returns when all have returned (rules 1 to 7), with the first one's
// error, or the error of Stop. Without actors it returns nil at once.
//
// It returns a [*StuckError] when a grace was over, [ErrExited] when the first actor left
// its goroutine, an [*ActorError] when it was one of C code's; [ErrState] at once if the
// group runs or has run, also when one of its own actors calls it; [ErrSpawn] or
// [ErrMemory] if nothing could be started, and the group may be run again.
//
// If an execute or an interrupt panics, the panic is printed at once, the others
// are stopped in order, and then Run panics, with the first [*PanicError]; see
// [WithPanicErrors].
func (g *Group) Run() error {
	if err := g.begin(); err != nil {
		return err
	}
	step := g.lib.next()
	if step != stepFinish {
		g.start()
	}
	g.drive(step)
	if panicked := g.panicked.Load(); panicked != nil && !g.panicErrors {
		panic(panicked)
	}
	return g.err
}

// begin starts the library's part of the run.
func (g *group) begin() (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err = g.open(); err != nil {
		return err
	}
	if g.id != 0 {
		return ErrState
	}
	var news *os.File // of actors that the library runs
	if g.shared {
		if news, err = g.lib.news(); err != nil {
			return err
		}
	}
	g.journal = g.openJournal()
	if err = g.lib.begin(); err != nil {
		g.journal.close(0)
		news.Close()
		return err
	}
	g.id = runs.Add(1)
	g.wake = make(chan struct{}, 1)
	g.release = g.listen(news)
	return nil
}

var runs atomic.Int64 // of this process

// start starts a goroutine for each actor that is Go's.
func (g *group) start() {
	for i := range g.actors {
		if a := &g.actors[i]; a.execute != nil {
			if g.graced {
				a.labels = g.labelled(i)
			}
			go g.execute(i)
		}
	}
}

// drive carries out the library's steps, to the end.
func (g *group) drive(step int) {
	finished := false
	defer func() {
		if !finished { // An interrupt ends this goroutine by runtime.Goexit.
			g.drive(g.lib.next())
		}
	}()
	early := false
	for ; step != stepFinish; step = g.lib.next() {
		if step == stepWait {
			early = g.wait(time.Duration(g.lib.value), early)
			continue
		}
		early = false
		g.setCause()
		if g.graced {
			go g.interrupt(int(g.lib.value))
		} else {
			g.interrupt(int(g.lib.value))
		}
	}
	g.finish()
	finished = true
}

// execute runs an actor, and posts its return, however it ends (rule 12).
func (g *group) execute(index int) {
	a := &g.actors[index]
	if g.graced {
		pprof.SetGoroutineLabels(a.labels)
	}
	defer func() {
		if g.lib.returned(index, codeOf(a.err), message(a.err)) {
			g.wakeUp()
		}
	}()
	defer g.catch(index, &a.err)
	a.err = ErrExited
	a.err = a.execute()
}

// interrupt calls an actor's interrupt, and posts its return likewise.
func (g *group) interrupt(index int) {
	a := &g.actors[index]
	if g.graced { // This goroutine is the interrupt's own.
		pprof.SetGoroutineLabels(a.labels)
	}
	defer func() {
		if g.lib.interrupted(index, message(a.interruptErr)) {
			g.wakeUp()
		}
	}()
	defer g.catch(index, &a.interruptErr)
	a.interruptErr = ErrExited
	a.interrupt(g.cause)
	a.interruptErr = nil
}

// catch is deferred by an actor's goroutine, and makes an error of a panic.
func (g *group) catch(index int, err *error) {
	if value := recover(); value != nil {
		*err = g.panics(g.lib.actor(index).Name, value)
	}
}

// panics keeps the first panic for Run.
func (g *group) panics(actor string, value any) error {
	panicked := newPanicError(actor, value)
	g.panicked.CompareAndSwap(nil, panicked)
	return panicked
}

// newPanicError prints a panic as Go's runtime does. The deferred function that
// has recovered it calls this, so that the stack is still there.
func newPanicError(actor string, value any) *PanicError {
	panicked := &PanicError{actor, value, debug.Stack()}
	fmt.Fprintf(os.Stderr, "panic: %v [%s]\n\n%s\n", value, panicked.where(), panicked.Stack)
	return panicked
}

// wait waits for a post that wakes this goroutine, no longer than a limit that is
// not negative, and reports whether the time was over. Early is whether it was so
// the last time, but not for the library: then the timer ran on another clock,
// that of a bubble of testing/synctest.
func (g *group) wait(limit time.Duration, early bool) bool {
	var over <-chan time.Time // never, if there is no limit
	switch {
	case limit < 0:
	case early:
		g.lib.sleep(limit)
		return true
	default:
		runtime.Gosched()     // An interrupt that was just started mostly returns at once,
		if len(g.wake) == 0 { // so that no timer is needed.
			timer := time.NewTimer(limit)
			defer timer.Stop()
			over = timer.C
		}
	}
	select {
	case <-g.wake:
		return false
	case <-over:
		return true
	}
}

func (g *group) wakeUp() {
	select {
	case g.wake <- struct{}{}:
	default: // Run has not taken the last one yet.
	}
}

// setCause finds the error that the interrupts are given, once.
func (g *group) setCause() {
	if g.caused {
		return
	}
	index, code, ok := g.lib.cause()
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok {
		g.caused, g.cause, g.stopsAt = true, g.errorOf(index, code), time.Now()
		g.closeStops()
	}
}

// errorOf is with what error an actor has returned this code; -1: a stop.
func (g *group) errorOf(index, code int) error {
	switch {
	case index < 0 && codeOf(g.stopped) == code:
		return g.stopped
	case index >= 0 && g.actors[index].execute != nil:
		return g.actors[index].err
	case code == 0:
		return nil
	case index < 0:
		return &ActorError{code: code}
	case g.actors[index].signals && code > signalCode:
		return &SignalError{syscall.Signal(code - signalCode)}
	}
	report := g.lib.actor(index)
	return &ActorError{report.Name, report.Message, code}
}

// finish keeps the result, and frees what the run had.
func (g *group) finish() {
	g.setCause()
	g.release()
	var stacks map[string]string
	if Error(g.lib.value) == ErrTimedOut {
		stacks = actorStacks()
	}
	g.mu.Lock()
	g.err, g.stacks = g.cause, stacks
	if stacks != nil {
		g.err = g.stuckError()
	}
	if g.native { // C code's release functions wait for it.
		g.kept = g.report()
		g.lib.free()
	}
	g.mu.Unlock()
	left := lastRecords
	if g.graced {
		left = g.grace - time.Since(g.stopsAt)
	}
	g.journal.close(left)
}

// listen wakes the goroutine in Run when there is news. The function it returns
// ends that.
func (g *group) listen(news *os.File) (end func()) {
	if news == nil {
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var count [8]byte
		for {
			if _, err := news.Read(count[:]); err != nil { // It was closed.
				return
			}
			if g.lib.stopping() {
				// Rule 5: before the library calls an interrupt that may block.
				g.mu.Lock()
				g.closeStops()
				g.mu.Unlock()
			}
			g.wakeUp()
		}
	}()
	// Without a channel for them, signals that are handed on to Go end the process.
	unread := make(chan os.Signal, 1)
	if signals := listens(); g.native && len(signals) > 0 {
		signal.Notify(unread, signals...)
	}
	return func() {
		signal.Stop(unread)
		news.Close()
		<-ended
	}
}
