//go:build cgo

package rungroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"rungroup/internal/ctest"
)

// badError is an error whose methods panic on nil.
type badError struct{ code int }

func (e *badError) Error() string { return fmt.Sprint("bad ", e.code) }
func (e *badError) Code() int     { return e.code }

// zeroError is an error of the kind that ends a group well.
type zeroError struct{ error }

func (zeroError) ExitCode() int { return 0 }

func TestCodes(t *testing.T) {
	var noBad *badError
	var noExit *exec.ExitError
	var noPanic *PanicError
	var noStuck *StuckError
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{io.EOF, 1},
		{&badError{7}, 7},
		{wrap(wrap(&badError{7})), 7},
		{errors.Join(io.EOF, wrap(&badError{8}), &badError{9}), 8},
		{errors.Join(io.EOF), 1},
		{zeroError{io.EOF}, 0},
		{&SignalError{syscall.SIGTERM}, 143},
		{SignalError{syscall.SIGINT}, 130},
		{wrap(&SignalError{syscall.SIGTERM}), 143},
		{wrap(SignalError{syscall.SIGTERM}), 143},
		{ErrExited, int(ErrExited)},
		{wrap(ErrExited), int(ErrExited)},
		{wrap(&PanicError{}), int(ErrExited)},
		{&StuckError{}, int(ErrTimedOut)},
		{noBad, 1}, {noExit, 1}, {noPanic, int(ErrExited)}, {noStuck, int(ErrTimedOut)},
		{wrap(noBad), 1},
	} {
		if code := codeOf(c.err); code != c.code {
			t.Errorf("%T: the code is %d, not %d", c.err, code, c.code)
		}
	}
	process := exec.Command("sh", "-c", "exit 5").Run()
	if code := codeOf(wrap(process)); code != 5 {
		t.Error(process, code)
	}
}

// Run gives a typed nil back as it was, as oklog/run does.
func TestTypedNil(t *testing.T) {
	var noBad *badError
	var noExit *exec.ExitError
	for _, err := range []error{noBad, noExit} {
		for _, stopped := range []bool{false, true} {
			var g Group
			g.Add(waiter(nil))
			if stopped {
				g.Add(func() error { g.Stop(err); return nil }, func(error) {})
			} else {
				g.Add(returns(err))
			}
			if got := finishes(t, &g); got != err {
				t.Errorf("%T: Run returned %v", err, got)
			}
			_ = g.Report().String()
		}
	}
}

func TestAddContextHasAParent(t *testing.T) {
	type key struct{}
	parent, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "value"))
	var g Group
	running := make(chan struct{})
	g.AddContext(parent, "child", func(ctx context.Context) error {
		if ctx.Value(key{}) != "value" {
			t.Error("not a child")
		}
		close(running)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	g.Add(waiter(nil))
	go func() { <-running; cancel(io.ErrUnexpectedEOF) }()
	if err := finishes(t, &g); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	err := refusal(func() error {
		new(Group).AddContext(nilContext, "a", func(context.Context) error { return nil })
		return nil
	})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "parent is nil") {
		t.Error(err)
	}
}

// server has methods of the names that Group has beyond oklog/run's.
type server struct{ calls []string }

func (s *server) Stop()          { s.calls = append(s.calls, "Stop") }
func (s *server) Stopping()      { s.calls = append(s.calls, "Stopping") }
func (s *server) Report()        { s.calls = append(s.calls, "Report") }
func (s *server) AddNamed()      { s.calls = append(s.calls, "AddNamed") }
func (s *server) AddContext()    { s.calls = append(s.calls, "AddContext") }
func (s *server) AddNative()     { s.calls = append(s.calls, "AddNative") }
func (s *server) AddSignals()    { s.calls = append(s.calls, "AddSignals") }
func (s *server) AddSystemd()    { s.calls = append(s.calls, "AddSystemd") }
func (s *server) execute() error { return io.EOF }

// A program's struct that embeds a Group and has used another's method Stop goes
// on to do so.
func TestEmbedded(t *testing.T) {
	var program struct {
		Group
		*server
	}
	program.server = new(server)
	program.Stop()
	program.Stopping()
	program.Report()
	program.AddNamed()
	program.AddContext()
	program.AddNative()
	program.AddSignals()
	program.AddSystemd()
	if len(program.calls) != 8 {
		t.Error(program.calls)
	}
	program.Add(program.server.execute, func(error) {})
	if err := program.Run(); err != io.EOF {
		t.Error(err)
	}
}

// A Group that is returned by value, as oklog/run's can be.
func TestCopiedBeforeRun(t *testing.T) {
	type service struct{ groups []Group }
	make := func() service {
		s := service{groups: make([]Group, 1)}
		s.groups[0].Add(waiter(nil))
		return s
	}
	s := make()
	moved := append([]Group(nil), s.groups...)
	moved[0].Add(returns(io.EOF))
	if err := finishes(t, &moved[0]); err != io.EOF {
		t.Error(err)
	}
}

// handler is one that does something at a message.
type handler struct {
	mu      sync.Mutex
	at      string
	does    func()
	records []slog.Record
}

func (h *handler) Enabled(context.Context, slog.Level) bool { return true }
func (h *handler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *handler) WithGroup(string) slog.Handler            { return h }
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	h.records = append(h.records, r)
	h.mu.Unlock()
	if r.Message == h.at {
		h.does()
	}
	return nil
}

func (h *handler) attribute(r slog.Record, key string) (value any) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value.Any()
		}
		return true
	})
	return value
}

// A handler that blocks holds up nobody, whatever it blocks at.
func TestBlockedLogger(t *testing.T) {
	for _, at := range []string{"actor started", "actor returned", "group stopping", "interrupting actor", "interrupt returned", "group stopped"} {
		for _, grace := range []time.Duration{inTime, -1} {
			release := make(chan struct{})
			h := &handler{at: at, does: func() { <-release }}
			g := New(WithGrace(grace), WithLogger(slog.New(h)))
			interrupted := make(chan struct{})
			execute, interrupt := waiter(nil)
			g.Add(execute, func(err error) { close(interrupted); interrupt(err) })
			g.Add(returns(io.EOF))
			began := time.Now()
			done := make(chan error)
			go func() { done <- g.Run() }()
			<-interrupted // while the handler blocks
			if err := <-done; err != io.EOF {
				t.Error(at, err)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Error(at, "it took", took)
			}
			close(release)
		}
	}
}

// A handler that panics ends no log's group badly: all stop, then Run panics.
func TestPanickingLogger(t *testing.T) {
	for _, returned := range []bool{true, false} {
		h := &handler{at: "group stopping", does: func() { panicHere("handler") }}
		g := New(WithLogger(slog.New(h)))
		if returned {
			g = New(WithLogger(slog.New(h)), WithPanicErrors())
		}
		g.Add(waiter(nil))
		g.Add(returns(io.EOF))
		thrown, err := outcome(g)
		if returned && (err != io.EOF || thrown != nil) {
			t.Error(err, thrown)
		}
		if panicked, ok := thrown.(*PanicError); !returned && (!ok || panicked.Actor != "" || panicked.Value != "handler") {
			t.Error(err, thrown)
		}
		if report := g.Report(); !report.Finished || report.Actors[0].State != StateReturned {
			t.Error(report)
		}
	}
}

// Errors are logged as they are; a stop that takes long is seen at Info.
func TestLoggedErrors(t *testing.T) {
	defer func(before time.Duration) { slowStop = before }(slowStop)
	for _, slow := range []bool{false, true} {
		slowStop = time.Hour
		if slow {
			slowStop = 0
		}
		h := &handler{}
		g := New(WithLogger(slog.New(h)), WithPanicErrors())
		first := &codeError{3, "first"}
		second := errors.New("second")
		execute, interrupt := waiter(second)
		g.Add(execute, interrupt)
		g.AddNamed("first", func() error { return first }, func(error) { panicHere("bad") })
		must(t, g.AddNative(func(group unsafe.Pointer) error {
			return ctest.Add(group, "c's", ctest.WaitsForStop, 5, "told to")
		}))
		if err := finishes(t, g); err != first {
			t.Error(err)
		}
		found := 0
		for _, r := range h.records {
			err, _ := h.attribute(r, "error").(error)
			actor, _ := h.attribute(r, "actor").(string)
			want := slog.LevelDebug
			if slow {
				want = slog.LevelInfo
			}
			switch {
			case r.Message == "group stopping":

				want = slog.LevelInfo
				if err != first {
					t.Error(r, err)
				}
			case r.Message == "group stopped":
				want = slog.LevelInfo
			case r.Message == "actor started", actor == "first" && r.Message == "actor returned":
				want = slog.LevelDebug
			case actor == "actor-0" && r.Message == "actor returned" && err != second:
				t.Error(r, err)
			case actor == "c's" && r.Message == "actor returned":
				var foreign *ActorError
				if !errors.As(err, &foreign) || foreign.Code() != 5 || foreign.Message != "told to" {
					t.Error(r, err)
				}
			case actor == "first" && r.Message == "interrupt returned":
				want = slog.LevelError
				var panicked *PanicError
				if !errors.As(err, &panicked) || panicked.Value != "bad" {
					t.Error(r, err)
				}
			}
			if r.Level != want {
				t.Error(slow, r.Level, r.Message, actor)
			}
			found++
		}
		if found != 14 {
			t.Error(found, "records")
		}
	}
}

// The first to return is the cause, and nobody returned before.
func TestReportsAgree(t *testing.T) {
	runs := 2000
	for i := 0; i < runs; i++ {
		var g Group
		var all sync.WaitGroup
		all.Add(8)
		for k := 0; k < 8; k++ {
			g.Add(func() error { all.Done(); all.Wait(); return nil }, func(error) {})
		}
		finishes(t, &g)
		r := g.Report()
		for _, actor := range r.Actors {
			if actor.Returned < r.Actors[r.Cause].Returned || actor.Interrupting < r.StoppingAfter || actor.Interrupted < actor.Interrupting {
				t.Fatal(r)
			}
		}
	}
}

func deep(n int, end chan struct{}) {
	if n > 0 {
		deep(n-1, end)
		return
	}
	<-end
}

// The stack of a stuck actor is found among those of many others, those of its
// own goroutines and of a nested group's actors included.
func TestStuckAmongMany(t *testing.T) {
	for _, inners := range []int{1, 3} {
		stuckAmongMany(t, inners)
	}
}

func stuckAmongMany(t *testing.T, inners int) {
	const others = 20000
	end := make(chan struct{})
	defer close(end)
	var started, ended sync.WaitGroup
	for i := 0; i < others; i++ {
		started.Add(1)
		go func() { started.Done(); deep(10, end) }()
	}
	started.Wait()
	g := New(WithGrace(time.Second)) // on a busy machine, too, time for the last interrupt
	ready := make(chan struct{})
	g.AddNamed("nests", func() error {
		var inner Group
		for i := 0; i < inners; i++ {
			inner.Add(func() error { ended.Add(1); defer ended.Done(); <-end; return nil }, func(error) {})
		}
		for i := 0; i < 3; i++ {
			go func() { deep(3, end) }()
		}
		close(ready)
		return inner.Run()
	}, func(error) {})
	g.AddNamed("deaf", func() error { blockHere(end); return nil }, func(error) {})
	g.AddNamed("jammed", func() error { return nil }, func(error) { deep(1, end) })
	g.AddNamed("polls", func() error { return exec.Command("sleep", "3").Run() }, func(error) {})
	g.Add(func() error { <-ready; return io.EOF }, func(error) {})
	var stuck *StuckError
	err := finishes(t, g)
	if !errors.As(err, &stuck) || len(stuck.Actors) != 4 {
		t.Fatal(err)
	}
	for i, want := range []struct{ in, where string }{
		{"rungroup.(*Group).Run\n", "execute in rungroup"},
		{"rungroup.blockHere\n", "execute in rungroup.blockHere at group_test.go:"},
		{"rungroup.deep\n", "interrupt in rungroup.deep at edge_test.go:"},
		{"os/exec.(*Cmd).Run\n", "execute in rungroup.stuckAmongMany.func"},
	} {
		actor := stuck.Actors[i]
		if stack := actor.ExecuteStack + actor.InterruptStack; !strings.Contains(stack, want.in) {
			t.Errorf("%q: %s", actor.Name, stack)
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("%q (%s", actor.Name, want.where)) {
			t.Error(actor.Name, err)
		}
	}
}

// An actor's error that has the code of ErrTimedOut, a nested group's say, is not
// taken for this group's.
func TestNestedStuckError(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	inner := New(WithGrace(10 * time.Millisecond))
	inner.AddNamed("deaf", func() error { blockHere(end); return nil }, func(error) {})
	inner.Add(returns(nil))
	outer := New(WithGrace(time.Minute))
	outer.AddNamed("outer", inner.Run, inner.Stop)
	outer.Add(waiter(nil))
	var stuck *StuckError
	if err := finishes(t, outer); !errors.As(err, &stuck) || stuck.Actors[0].Name != "deaf" {
		t.Error(err)
	}
	if actor := outer.Report().Actors[1]; actor.State != StateReturned {
		t.Error(actor)
	}
}
