//go:build cgo

package rungroup

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unsafe"
)

// Group collects actors and runs them at the same time. When one returns, all
// are interrupted. The zero value is an empty group that waits for ever for its
// actors; [New] makes one with options. Its methods may be called from any
// goroutine. It must not be copied after first use.
type Group struct {
	order  Order
	grace  time.Duration
	graced bool
	logger *slog.Logger

	// mu is held for every call into the library, and never while an actor's
	// function runs.
	mu     sync.Mutex
	actors []actor
	// names are the actors' that were given one.
	names map[int]string
	// pending is how many of the last actors the library does not know of yet.
	pending int
	// native is the library's group, from when it is needed to the end of Run.
	native *native
	// shared is whether C code was given the library's group.
	shared  bool
	stopped error // of the Stop that ended the group
	stops   chan struct{}
	run     *run
	over    bool
	kept    *Report
}

// actor is one of Go's, or of C code's, which has no functions here.
type actor struct {
	execute   func() error
	interrupt func(error)
}

// Order is that in which the actors are interrupted (rule 6).
type Order int

const (
	// OrderAdded is as they were added.
	OrderAdded Order = iota
	// OrderReverse is the last added first.
	OrderReverse
	// OrderStaged is the last added first, and each has returned before the
	// next is interrupted.
	OrderStaged
)

// Option is a setting of a group; see [New].
type Option func(*Group)

// WithGrace makes [Group.Run] return at most this long after stopping began,
// with a [*StuckError] if something has not returned by then (rule 10). It is
// rounded up to milliseconds; negative: wait for ever.
func WithGrace(grace time.Duration) Option {
	return func(g *Group) { g.grace, g.graced = grace, grace >= 0 }
}

// WithOrder sets the order of interrupts. An unknown one is [ErrInvalid] from Run.
func WithOrder(order Order) Option {
	return func(g *Group) { g.order = order }
}

// WithLogger has what happens logged: the group's stopping and end as Info, the
// actors' starts, returns and interrupts as Debug, stuck actors as Error. The
// handler is called by the goroutine in Run, which waits for it; nil: no log.
func WithLogger(logger *slog.Logger) Option {
	return func(g *Group) { g.logger = logger }
}

// New makes an empty group with options.
func New(options ...Option) *Group {
	g := new(Group)
	for _, option := range options {
		option(g)
	}
	return g
}

// Add adds an actor, named "actor-" and its index. Execute is called once, in a
// goroutine of its own; interrupt must make it return, is called once, and must
// be safe to call when execute has returned already or has not got going yet.
// The first execute to return, with whatever error, ends the group; that error
// is passed to every interrupt and returned by [Group.Run].
//
// It panics with a [*UsageError] if a function is nil, or if the group runs or
// has run.
func (g *Group) Add(execute func() error, interrupt func(error)) {
	g.add("Add", "", execute, interrupt)
}

// AddNamed is [Group.Add] with a name for reports and errors: UTF-8, at most 255
// bytes. "" is none. It panics as Add does, and for a bad name.
func (g *Group) AddNamed(name string, execute func() error, interrupt func(error)) {
	g.add("AddNamed", name, execute, interrupt)
}

// AddContext adds an actor that needs no interrupt: its context is cancelled
// instead, with the group's error as cause ([context.Cause]). It panics as
// [Group.AddNamed] does.
func (g *Group) AddContext(name string, execute func(ctx context.Context) error) {
	if execute == nil {
		panic(&UsageError{"AddContext", name, nilFunction("execute")})
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	g.add("AddContext", name, func() error { return execute(ctx) }, func(err error) { cancel(err) })
}

func (g *Group) add(op, name string, execute func() error, interrupt func(error)) {
	if execute == nil {
		panic(&UsageError{op, name, nilFunction("execute")})
	}
	if interrupt == nil {
		panic(&UsageError{op, name, nilFunction("interrupt")})
	}
	g.mu.Lock()
	err := g.accept(name)
	if err == nil {
		if name != "" {
			if g.names == nil {
				g.names = make(map[int]string)
			}
			g.names[len(g.actors)] = name
		}
		g.actors = append(g.actors, actor{execute, interrupt})
	}
	g.mu.Unlock()
	if err != nil {
		panic(&UsageError{op, name, err})
	}
}

// accept asks the library, unless nothing but a count has to be told it later.
func (g *Group) accept(name string) error {
	if name == "" && g.native == nil && !g.over {
		g.pending++
		return nil
	}
	if err := g.opened(); err != nil {
		return err
	}
	return g.native.add(name)
}

// opened makes the library's group and tells it of all actors.
func (g *Group) opened() error {
	if g.over {
		return ErrState
	}
	if g.native == nil {
		with, err := g.settings()
		if err != nil {
			return err
		}
		if g.native, err = open(with); err != nil {
			return err
		}
		g.native.freeWhenForgotten()
	}
	if g.pending > 0 {
		if err := g.native.addMany(g.pending); err != nil {
			return err
		}
		g.pending = 0
	}
	g.takeIn()
	return nil
}

// takeIn makes room for what C code has added meanwhile.
func (g *Group) takeIn() {
	for len(g.actors) < g.native.count() {
		g.actors = append(g.actors, actor{})
	}
}

func (g *Group) settings() (settings, error) {
	if g.order < OrderAdded || g.order > OrderStaged {
		return settings{}, ErrInvalid
	}
	millis := int64(-1)
	if g.graced {
		millis = int64((g.grace + time.Millisecond - 1) / time.Millisecond)
	}
	return settings{g.order, millis, g.logger != nil}, nil
}

// AddNative lets C code add actors to the group: join is called at once with the
// library's group, a rg_group * of rungroup.h, for rg_add_actor, rg_add_async
// or rg_add_signals. The pointer is valid until Run returns. Their signal
// actors hand a signal on to Go's handlers. C code must not run, start, drive
// or free the group, nor set an observer.
//
// It returns join's error, or an [Error]: [ErrState] if the group runs or has
// run. Join must not use the group in Go.
func (g *Group) AddNative(join func(group unsafe.Pointer) error) error {
	if join == nil {
		return &UsageError{"AddNative", "", nilFunction("join")}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.run != nil {
		return ErrState
	}
	if err := g.opened(); err != nil {
		return err
	}
	g.native.chainSignals()
	g.shared = true
	err := join(unsafe.Pointer(g.native.group))
	g.takeIn()
	return err
}

// Run runs the actors, waits for the first to return, interrupts all in order,
// and returns when all have returned (rules 1 to 7), with the first one's
// error, or the error of [Group.Stop]. Without actors it returns nil at once.
//
// It returns a [*StuckError] when a grace was over, a [*PanicError] or
// [ErrExited] when the first actor ended so, an [*ActorError] when it was one of
// C code's; and [ErrState] at once if the group runs or has run, also when one
// of its own actors calls it; [ErrSpawn] or [ErrMemory] if nothing could be
// started, and the group may be run again.
func (g *Group) Run() error {
	r, first, err := g.begin()
	if err != nil {
		return err
	}
	return r.drive(first)
}

// begin starts the library's part.
func (g *Group) begin() (*run, action, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return nil, 0, ErrState
	}
	if (g.native != nil || g.logger != nil) && g.run == nil {
		if err := g.opened(); err != nil {
			return nil, 0, err
		}
	}
	r := newRun(g)
	var first action
	var err error
	switch {
	case g.native == nil:
		var with settings
		if with, err = g.settings(); err == nil {
			r.native, first, err = openAndBegin(with, g.pending, &r.step)
		}
	case g.shared:
		first, r.heard, err = r.native.beginShared(&r.step)
	default:
		first, err = r.native.begin(&r.step)
	}
	if err != nil {
		return nil, 0, err
	}
	g.native, g.run, g.pending = r.native, r, 0
	r.follow(first) // an actor of C code's may have returned already
	return r, first, nil
}

// Stop ends the group, unless it is stopping already: Run returns err, which may
// be nil (rule 9). Before Run, nothing will be started. After Run it does
// nothing. Any goroutine may call it, any number of times, also an actor.
func (g *Group) Stop(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.run == nil && g.opened() != nil || g.native == nil {
		return
	}
	if !g.native.stop(codeOf(err)) {
		return
	}
	g.stopped = err
	g.closeStops()
	if g.run != nil {
		g.run.wakeUp()
	}
}

// Stopping is closed when stopping begins, before the first interrupt is called
// (rule 5): for actors that select on it.
func (g *Group) Stopping() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stops == nil {
		g.stops = make(chan struct{})
		if g.kept != nil && g.kept.Stopped || g.native != nil && g.native.stopping() {
			close(g.stops)
		}
	}
	return g.stops
}

// closeStops is called with the lock, once stopping has begun.
func (g *Group) closeStops() {
	if g.stops == nil {
		return
	}
	select {
	case <-g.stops:
	default:
		close(g.stops)
	}
}

// name is an actor's; what the library would call it, if it has none.
func (r *run) name(index int) string {
	if name, ok := r.names[index]; ok {
		return name
	}
	if r.actors[index].execute == nil && r.native.group != nil {
		name, _, _ := r.native.texts(index)
		return name
	}
	return fmt.Sprintf("actor-%d", index)
}
