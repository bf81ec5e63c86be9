//go:build cgo

package rungroup

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Group collects actors and runs them at the same time. When one returns, all
// are interrupted. The zero value is an empty group without a grace; [New] makes
// one with options. Any goroutine may call its methods at any time. A Group must
// not be copied once Run was called.
type Group struct{ group }

// group is a Group's state, and has the methods beyond oklog/run's. They are one
// level deeper than Add and Run: in a program's struct that embeds a Group and,
// say, a server with a method Stop, that method stays the one that is meant.
type group struct {
	order       Order
	grace       time.Duration
	graced      bool
	panicErrors bool
	logger      *slog.Logger

	mu       sync.Mutex // guards what follows; some of it does not change during a run
	lib      *library   // made at first use
	actors   []actor
	shared   bool          // the library runs actors of its own in the group
	native   bool          // some of these are C code's
	stopped  error         // what Stop was given
	stops    chan struct{} // made when it is asked for
	told     bool          // stops is closed
	err      error         // what Run returned
	kept     *Report       // of a group of which the library's part is freed
	id       int64         // of the run, as is all that follows; 0: it has not begun
	wake     chan struct{}
	journal  *journal
	release  func() // ends what listens for the library's actors
	caused   bool
	cause    error
	stopsAt  time.Time                  // when Run saw the cause
	stacks   map[string]string          // of actors, when the grace was over
	panicked atomic.Pointer[PanicError] // the first panic
}

// actor is one that Go runs, or one that the library runs, without functions.
type actor struct {
	name      string
	execute   func() error
	interrupt func(error)
	signals   bool            // added by AddSignals
	labels    context.Context // in a run with a grace
	// Each is set by the actor's goroutine before it posts the return.
	err, interruptErr error
}

// Order is the order in which the actors are interrupted (rule 6).
type Order int

const (
	OrderAdded   Order = iota // as added
	OrderReverse              // the last added first
	OrderStaged               // likewise, and each has returned before the next is interrupted
)

// Option is a setting of a group; see [New].
type Option func(*Group)

// WithGrace makes [Group.Run] return at most this long after stopping began,
// with a [*StuckError] if something has not returned by then (rule 10). Each
// interrupt then has a goroutine of its own. The grace is rounded up to
// milliseconds; a negative one is none, the default.
func WithGrace(grace time.Duration) Option {
	return func(g *Group) { g.grace, g.graced = grace, grace >= 0 }
}

// WithOrder sets the order of interrupts (rule 6). An unknown order is
// [ErrInvalid] from Run.
func WithOrder(order Order) Option { return func(g *Group) { g.order = order } }

// WithPanicErrors makes [Group.Run] return where it would panic because an
// actor has: a panic that ended the group is its error, a [*PanicError]; any
// other is in the [Report]. All are printed nevertheless.
func WithPanicErrors() Option { return func(g *Group) { g.panicErrors = true } }

// New returns an empty group with these options.
func New(options ...Option) *Group {
	g := new(Group)
	for _, option := range options {
		option(g)
	}
	return g
}

// Add adds an actor, named "actor-" and its index. Execute is called once, in a
// goroutine of its own (rule 3). Interrupt must make execute return; it is
// called once (rule 5), by the goroutine in Run, or by another if there is a
// grace; and possibly when execute has returned already or has not got going
// yet (rule 8). The first execute to return, with whatever error, ends the
// group (rule 4): every interrupt is given that error, and Run returns it.
//
// It panics with a [*UsageError] if a function is nil, or if the group runs or
// has run (rule 14).
func (g *Group) Add(execute func() error, interrupt func(error)) {
	g.add("Add", "", execute, interrupt)
}

// AddNamed is [Group.Add] with a name for reports and errors: UTF-8, at most 255
// bytes; "" is none. It panics as Add does, and for a bad name.
func (g *group) AddNamed(name string, execute func() error, interrupt func(error)) {
	g.add("AddNamed", name, execute, interrupt)
}

// AddContext is [Group.AddNamed] for an actor that needs no interrupt: its
// context, a child of the parent, is cancelled instead, with the group's error
// as cause ([context.Cause]). It panics as AddNamed does, and for a nil parent.
func (g *group) AddContext(parent context.Context, name string, execute func(context.Context) error) {
	run, interrupt, err := contextActor(parent, execute)
	if err != nil {
		panic(&UsageError{"AddContext", name, err})
	}
	g.add("AddContext", name, run, interrupt)
}

func contextActor(parent context.Context, execute func(context.Context) error) (func() error, func(error), error) {
	if parent == nil {
		return nil, nil, nilArgument("parent")
	} else if execute == nil {
		return nil, nil, nilArgument("execute")
	}
	ctx, cancel := context.WithCancelCause(parent)
	return func() error { return execute(ctx) }, func(err error) { cancel(err) }, nil
}

func (g *group) add(op, name string, execute func() error, interrupt func(error)) {
	err := checkFunctions(execute, interrupt)
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		err = g.open()
	}
	if err == nil {
		err = g.lib.add(name)
	}
	if err != nil {
		panic(&UsageError{op, name, err})
	}
	g.actors = append(g.actors, actor{name: name, execute: execute, interrupt: interrupt})
}

func checkFunctions(execute func() error, interrupt func(error)) error {
	if execute == nil {
		return nilArgument("execute")
	} else if interrupt == nil {
		return nilArgument("interrupt")
	}
	return nil
}

// open makes the library's group, unless that was done. With the lock.
func (g *group) open() (err error) {
	if g.kept != nil {
		return ErrState
	}
	if g.lib == nil {
		g.lib, err = newLibrary(g.order, g.graced, g.grace)
	}
	return err
}

// AddSignals adds an actor, named "signals", that returns a [*SignalError] when the
// process receives one of the signals; none given means SIGINT and SIGTERM. It keeps to
// rule 16: it listens from before the first execute until Run returns; an ignored signal
// stays ignored (nohup); a SIGTERM that comes again is absorbed; a second Ctrl-C kills,
// if it comes 250 ms or more after the first. Until then the signals are the group's
// alone: a channel of [signal.Notify] for them receives nothing.
//
// It panics with a [*UsageError] for a signal that cannot be caught or that
// means a fault of the program, and if the group runs or has run.
func (g *group) AddSignals(signals ...os.Signal) {
	numbers, err := signalNumbers(signals)
	if err == nil {
		err = g.addForeign(false, actor{signals: true}, func() error { return g.lib.addSignals(numbers) })
	}
	if err != nil {
		panic(&UsageError{"AddSignals", "", err})
	}
}

// AddSystemd adds an actor, named "systemd", that tells the service manager how
// the group is (sd_notify(3)): READY=1 once all actors run; STOPPING=1, with the
// cause as STATUS, once the group stops; and until then WATCHDOG=1, twice as
// often as WatchdogSec asks. Without NOTIFY_SOCKET it only waits for the stop. If
// it cannot tell the manager, it ends the group with an [*ActorError].
//
// It returns [ErrState] if the group runs or has run.
func (g *group) AddSystemd() error {
	return g.addForeign(false, actor{}, func() error { return g.lib.addSystemd() })
}

// AddNative lets C code add actors to the group: join is called at once with the
// library's group, a rg_group * of rungroup.h, for rg_add_actor and the like.
// The pointer is valid until Run returns; the actors' release functions are
// called by then (rule 13), or when the last stuck one returns. Signal actors
// also hand a signal on to the channels of [signal.Notify]. C code must not run,
// start, drive or free the group, nor set an observer.
//
// It returns join's error, or an [Error]: [ErrState] if the group runs or has
// run. Join must not use the Group.
func (g *group) AddNative(join func(group unsafe.Pointer) error) error {
	if join == nil {
		return &UsageError{"AddNative", "", nilArgument("join")}
	}
	return g.addForeign(true, actor{}, func() error { return join(unsafe.Pointer(g.lib.group)) })
}

// addForeign has actors of this kind added, which the library runs. If they are
// native, C code's, those that listen for signals hand them on to Go's handlers.
func (g *group) addForeign(native bool, kind actor, add func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.open()
	if err == nil {
		err = g.lib.chain(native)
	}
	if err != nil {
		return err
	}
	g.shared, g.native = true, g.native || native
	err = add()
	for len(g.actors) < g.lib.count() {
		g.actors = append(g.actors, kind)
	}
	return err
}

// Stop ends the group, unless it is stopping already: Run returns err, which may
// be nil (rule 9). Before Run, it makes Run return err without starting
// anything. Any goroutine may call it, any number of times, also an actor.
func (g *group) Stop(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open() != nil || g.lib.stopping() {
		return
	}
	g.stopped = err // before anybody can see the stop
	g.lib.stop(codeOf(err))
	g.closeStops()
	g.wakeUp()
}

// Stopping returns a channel that is closed when stopping begins, before the
// first interrupt is called (rule 5): for actors that select on it.
func (g *group) Stopping() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stops == nil {
		g.stops = make(chan struct{})
	}
	if g.caused || g.open() == nil && g.lib.stopping() {
		g.closeStops()
	}
	return g.stops
}

// closeStops is called with the lock.
func (g *group) closeStops() {
	if g.stops != nil && !g.told {
		close(g.stops)
		g.told = true
	}
}
