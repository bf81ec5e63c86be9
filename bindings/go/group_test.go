//go:build cgo

package rungroup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"rungroup/internal/ctest"
)

// waiter is an actor that returns err when it is interrupted.
func waiter(err error) (execute func() error, interrupt func(error)) {
	stop := make(chan struct{})
	return func() error {
		<-stop
		return err
	}, func(error) { close(stop) }
}

func returns(err error) (execute func() error, interrupt func(error)) {
	return func() error { return err }, func(error) {}
}

func finishes(t *testing.T, g *Group) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- g.Run() }()
	select {
	case err := <-result:
		return err
	case <-time.After(watchdog):
		panic("Run hangs")
	}
}

func TestHeaderIsTheLibrarys(t *testing.T) {
	original, err := os.ReadFile("../../include/rungroup.h")
	if err != nil {
		t.Skip("only in the repository: ", err)
	}
	copied, err := os.ReadFile("rungroup.h")
	if err != nil || !bytes.Equal(original, copied) {
		t.Error("rungroup.h differs from include/rungroup.h: run `make header`")
	}
}

func TestDropIn(t *testing.T) {
	var empty Group
	if err := empty.Run(); err != nil {
		t.Error(err)
	}
	myError := errors.New("mine")
	var g Group
	var got [2]error
	execute, stop := waiter(errors.New("later"))
	g.Add(execute, func(err error) { got[0] = err; stop(err) })
	g.Add(func() error { return myError }, func(err error) { got[1] = err })
	if err := finishes(t, &g); err != myError || got[0] != myError || got[1] != myError {
		t.Error(err, got)
	}
	if err := g.Run(); err != ErrState {
		t.Error("a second Run gave", err)
	}
}

func TestHandlers(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var g Group
	g.Add(ContextHandler(ctx))
	g.Add(SignalHandler(context.Background(), syscall.SIGUSR1))
	cancel()
	if err := finishes(t, &g); err != context.Canceled {
		t.Error(err)
	}

	var signalled Group
	// So that it is not this process that ends, if the actor is slow to listen.
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGUSR1)
	defer signal.Stop(received)
	signalled.Add(SignalHandler(context.Background(), syscall.SIGUSR1))
	done := make(chan struct{})
	signalled.Add(func() error {
		for {
			select {
			case <-done:
				return nil
			case <-time.After(time.Millisecond):
				syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
		}
	}, func(error) { close(done) })
	err := finishes(t, &signalled)
	var byValue SignalError
	var byPointer *SignalError
	if !errors.Is(err, ErrSignal) || !errors.As(err, &byValue) || !errors.As(err, &byPointer) ||
		byValue.Signal != syscall.SIGUSR1 || err.Error() != "received signal user defined signal 1" {
		t.Errorf("%v %v", err, byValue)
	}
	if code := signalled.Report().Code; code != 128+int(syscall.SIGUSR1) {
		t.Error(code)
	}
}

// TestMain keeps the text of the panics that tests make out of their output, and
// runs this program as one of those of program_test.go, if it is told to.
func TestMain(m *testing.M) {
	if name := os.Getenv("RUNGROUP_TEST_PROGRAM"); name != "" {
		programs[name]()
		return
	}
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = null
	}
	os.Exit(m.Run())
}

// Run panics with the first panic, once all have returned in order.
func TestPanics(t *testing.T) {
	for _, c := range []struct {
		name, actor  string
		value        any
		first        error // of another actor, which ends the group
		inInterrupts bool
		options      []Option
	}{
		{name: "execute", actor: "bad", value: io.ErrUnexpectedEOF},
		{name: "execute with a grace", actor: "bad", value: io.ErrUnexpectedEOF, options: []Option{WithGrace(time.Minute)}},
		{name: "interrupt", actor: "bad", value: 7, first: io.EOF, inInterrupts: true},
		{name: "interrupt with a grace", actor: "bad", value: "x", first: io.EOF, inInterrupts: true, options: []Option{WithGrace(time.Minute), WithOrder(OrderStaged)}},
	} {
		for _, returned := range []bool{false, true} {
			options := c.options
			if returned {
				options = append([]Option{WithPanicErrors()}, options...)
			}
			g := New(options...)
			var ended [2]bool
			execute, interrupt := waiter(nil)
			g.Add(func() error { defer func() { ended[0] = true }(); return execute() }, interrupt)
			bad, stop := waiter(nil)
			g.AddNamed("bad", func() error {
				if !c.inInterrupts {
					panicHere(c.value)
				}
				return bad()
			}, func(err error) {
				stop(err)
				if c.inInterrupts {
					panicHere(c.value)
				}
			})
			if c.first != nil {
				g.Add(returns(c.first))
			}
			execute2, interrupt2 := waiter(nil)
			g.Add(func() error { defer func() { ended[1] = true }(); return execute2() }, interrupt2)
			thrown, err := outcome(g)
			var panicked *PanicError
			switch {
			case !returned:
				panicked, _ = thrown.(*PanicError)
			case c.inInterrupts:
				if thrown != nil || err != c.first {
					t.Errorf("%s: Run returned %v, panicked %v", c.name, err, thrown)
				}
				panicked, _ = g.Report().Actors[1].InterruptErr.(*PanicError)
			default:
				errors.As(err, &panicked)
			}
			if panicked == nil || panicked.Actor != c.actor || panicked.Value != c.value ||
				!bytes.Contains(panicked.Stack, []byte("panicHere")) {
				t.Errorf("%s: Run returned %v, panicked %v", c.name, err, thrown)
				continue
			}
			if ended != [2]bool{true, true} {
				t.Error(c.name, "Run did not wait", ended)
			}
			report := g.Report()
			if !strings.Contains(report.String(), "panicHere") {
				t.Errorf("%s: no stack in\n%v", c.name, report)
			}
			if !report.Finished || report.Actors[0].State != StateReturned {
				t.Error(c.name, report)
			}
			for _, text := range []string{fmt.Sprintf("%+v", panicked), logged(panicked)} {
				if !strings.Contains(text, "panicHere") || !strings.Contains(text, panicked.Error()) {
					t.Errorf("%s: no stack in %s", c.name, text)
				}
			}
			if text := fmt.Sprintf("%v|%s", panicked, panicked); strings.Contains(text, "panicHere") {
				t.Error(text)
			}
		}
	}
}

func panicHere(value any) { panic(value) }

// outcome is what Run panicked with, or returned.
func outcome(g *Group) (thrown any, err error) {
	defer func() { thrown = recover() }()
	return nil, g.Run()
}

func logged(err error) string {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "error", err)
	var record struct {
		Error struct{ Message, Stack string }
	}
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		return err.Error()
	}
	return record.Error.Message + record.Error.Stack
}

// The first of several panics is Run's; a panic that is an error is found in it.
func TestPanicsOfMany(t *testing.T) {
	g := New(WithPanicErrors())
	for i := 0; i < 10; i++ {
		g.Add(func() error { panic(io.ErrUnexpectedEOF) }, func(error) { panic(1) })
	}
	err := finishes(t, g)
	var panicked *PanicError
	if !errors.As(err, &panicked) || !errors.Is(err, io.ErrUnexpectedEOF) || g.panicked.Load().Value != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	for _, value := range []any{nil, 7} {
		g := New(WithPanicErrors())
		g.Add(func() error { panic(value) }, func(error) {})
		if err := finishes(t, g); !errors.As(err, &panicked) {
			t.Errorf("panic(%v) gave %v", value, err)
		}
	}
}

// A group in an actor: its panic goes through both.
func TestPanicInANestedGroup(t *testing.T) {
	var outer, inner Group
	inner.AddNamed("inner", func() error { panic(io.EOF) }, func(error) {})
	outer.AddNamed("outer", inner.Run, inner.Stop)
	outer.Add(waiter(nil))
	thrown, _ := outcome(&outer)
	var panicked *PanicError
	if err, ok := thrown.(error); !ok || !errors.As(err, &panicked) || panicked.Actor != "outer" || !errors.Is(err, io.EOF) {
		t.Error(thrown)
	}
}

func TestGoexit(t *testing.T) {
	var left Group
	left.Add(waiter(nil))
	left.Add(func() error { runtime.Goexit(); return nil }, func(error) {})
	if err := finishes(t, &left); err != ErrExited {
		t.Error(err)
	}
}

// An actor of C code's that has returned when the others are being started.
func TestStoppingFromTheBeginning(t *testing.T) {
	for _, order := range []Order{OrderAdded, OrderReverse, OrderStaged} {
		g := New(WithOrder(order))
		var told [3]error
		for i := range told {
			i := i
			execute, interrupt := waiter(nil)
			g.Add(execute, func(err error) { told[i] = err; interrupt(err) })
		}
		must(t, g.AddNative(func(group unsafe.Pointer) error { return ctest.AddDone(group, "c's", 7) }))
		var actor *ActorError
		if err := finishes(t, g); !errors.As(err, &actor) || actor.Message != "at once" {
			t.Error(order, err)
		}
		for i, err := range told {
			if !errors.As(err, &actor) || actor.Code() != 7 {
				t.Error(order, i, err)
			}
		}
	}
}

// An interrupt that leaves the goroutine of Run: all is stopped first.
func TestGoexitInInterrupt(t *testing.T) {
	for _, order := range []Order{OrderAdded, OrderReverse, OrderStaged} {
		for leaving := 1; leaving <= 4; leaving++ {
			for from := 0; from+leaving <= 4; from++ {
				goexitInInterrupts(t, order, from, leaving)
			}
		}
	}
}

// goexitInInterrupts has so many of four interrupts, one after another, leave.
func goexitInInterrupts(t *testing.T, order Order, from, leaving int) {
	g := New(WithOrder(order))
	var interrupts [4]int
	first := errors.New("first")
	for i := range interrupts {
		i := i
		execute, interrupt := waiter(nil)
		if i == 0 {
			execute = func() error { return first }
		}
		g.Add(execute, func(err error) {
			interrupts[i]++
			interrupt(err)
			if i >= from && i < from+leaving {
				runtime.Goexit()
			}
		})
	}
	ended := make(chan bool)
	go func() {
		came := false
		defer func() { ended <- came }()
		g.Run()
		came = true
	}()
	select {
	case came := <-ended:
		if came {
			t.Error("the goroutine went on")
		}
	case <-time.After(watchdog):
		panic("hangs")
	}
	report := g.Report()
	if !report.Finished || report.Err != first || interrupts != [4]int{1, 1, 1, 1} {
		t.Error(order, from, leaving, interrupts, report)
	}
	for i, actor := range report.Actors {
		left := i >= from && i < from+leaving
		if actor.State != StateReturned || (actor.Complaint != "") != left {
			t.Error(order, from, leaving, i, actor)
		}
	}
}

type noSignal struct{}

func (noSignal) Signal()        {}
func (noSignal) String() string { return "nothing" }

func TestMisuse(t *testing.T) {
	nothing := func() error { return nil }
	for name, f := range map[string]func(g *Group){
		"nil execute":     func(g *Group) { g.Add(nil, func(error) {}) },
		"nil interrupt":   func(g *Group) { g.AddNamed("a", nothing, nil) },
		"nil context's":   func(g *Group) { g.AddContext(context.Background(), "a", nil) },
		"a name with NUL": func(g *Group) { g.AddNamed("a\x00b", nothing, func(error) {}) },
	} {
		var g Group
		err := refusal(func() error { f(&g); return nil })
		if !errors.Is(err, ErrInvalid) || len(err.Error()) < 20 {
			t.Errorf("%s: %v", name, err)
		}
		g.Add(returns(io.EOF))
		if err := finishes(t, &g); err != io.EOF {
			t.Errorf("%s: then Run gave %v", name, err)
		}
	}
	// What the library itself has refused, it does not run without (rule 14).
	for _, name := range []string{strings.Repeat("n", 256), "\xff"} {
		var g Group
		g.Add(returns(io.EOF))
		err := refusal(func() error { g.AddNamed(name, nothing, func(error) {}); return nil })
		if ran := finishes(t, &g); !errors.Is(err, ErrInvalid) || !errors.Is(ran, ErrInvalid) || g.Report().Stopped {
			t.Errorf("%.9q: %v, then Run gave %v", name, err, ran)
		}
	}
	for reason, f := range map[string]func(g *Group){
		"interrupt is nil":                        func(g *Group) { g.AddNamed("a", nothing, nil) },
		"the name has more than 255 bytes":        func(g *Group) { g.AddNamed(strings.Repeat("n", 256), nothing, func(error) {}) },
		"signal 9 (SIGKILL) cannot be caught":     func(g *Group) { g.AddSignals(syscall.SIGKILL) },
		"signal 11 means a fault":                 func(g *Group) { g.AddSignals(syscall.SIGSEGV) },
		"not a signal of the system's":            func(g *Group) { g.AddSignals(noSignal{}) },
		`AddNamed "a": the group runs or has run`: func(g *Group) { g.Run(); g.AddNamed("a", nothing, func(error) {}) },
	} {
		var usage *UsageError
		err := refusal(func() error { f(new(Group)); return nil })
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q is not said: %v", reason, err)
		}
	}
	var g Group
	var inside [3]error
	g.Add(func() error {
		inside[0] = g.Run()
		inside[1] = refusal(func() error { g.Add(nothing, func(error) {}); return nil })
		inside[2] = g.AddNative(func(unsafe.Pointer) error { return nil })
		return io.EOF
	}, func(error) {})
	if err := finishes(t, &g); err != io.EOF {
		t.Error(err)
	}
	for _, err := range inside {
		if !errors.Is(err, ErrState) {
			t.Error(err)
		}
	}
	if err := g.AddNative(nil); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := New(WithOrder(7)).Run(); err != ErrInvalid {
		t.Error(err)
	}
}

func closed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func TestStop(t *testing.T) {
	var g Group
	g.Add(func() error { g.Stop(io.EOF); g.Stop(nil); return errors.New("later") }, func(error) {})
	g.AddContext(context.Background(), "waits", func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err := finishes(t, &g); err != io.EOF {
		t.Error(err)
	}
	report := g.Report()
	if report.Cause != -1 || report.Actors[1].Err != io.EOF || report.Actors[1].Name != "waits" {
		t.Error(report)
	}
	g.Stop(nil) // too late
	if !closed(g.Stopping()) {
		t.Error("the channel is asked for when it is over, and not closed")
	}
	var before Group
	before.Add(func() error { t.Error("it was started"); return nil }, func(error) {})
	before.Stop(io.EOF)
	<-before.Stopping()
	if err := finishes(t, &before); err != io.EOF {
		t.Error(err)
	}
	if !strings.Contains(before.Report().String(), "before it was run") {
		t.Error(before.Report())
	}
}

// An actor and an interrupt that block for ever: Run returns in time, the error
// names them and shows where; later nothing is left of them.
func TestStuck(t *testing.T) {
	for _, shared := range []bool{false, true} {
		g := New(WithGrace(inTime))
		if shared {
			g.AddNative(func(unsafe.Pointer) error { return nil })
		}
		end := make(chan struct{})
		g.AddNamed("ends it", func() error { return io.EOF }, func(error) {})
		g.AddNamed("deaf", func() error { blockHere(end); return nil }, func(error) {})
		g.AddNamed("jammed", func() error { <-g.Stopping(); return nil }, func(error) { blockHere(end) })
		began := time.Now()
		err := finishes(t, g)
		if took := time.Since(began); took < inTime || took > 30*time.Second {
			t.Error("it took", took)
		}
		var stuck *StuckError
		if !errors.As(err, &stuck) || !errors.Is(err, io.EOF) || !errors.Is(err, ErrTimedOut) || len(stuck.Actors) != 2 {
			t.Fatal(err)
		}
		deaf, jammed := stuck.Actors[0], stuck.Actors[1]
		if deaf.Name != "deaf" || !deaf.StuckExecute || deaf.StuckInterrupt || !strings.Contains(deaf.ExecuteStack, "blockHere") {
			t.Error(deaf)
		}
		if jammed.Name != "jammed" || jammed.StuckExecute || !jammed.StuckInterrupt || !strings.Contains(jammed.InterruptStack, "blockHere") {
			t.Error(jammed)
		}
		if !reflect.DeepEqual(g.Report().Actors[1:3], stuck.Actors) {
			t.Error("the report says otherwise: ", g.Report().Actors[1:3])
		}
		text := g.Report().String()
		if !strings.Contains(text, `STUCK "deaf": its execute`) || !strings.Contains(text, `STUCK "jammed": its interrupt`) {
			t.Error(text)
		}
		close(end)
		if g.Report().String() != text {
			t.Error("the report changed")
		}
	}
}

func blockHere(end chan struct{}) { <-end }

// eventually fails if something does not become so.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(watchdog); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so: ", what)
		}
	}
}

func TestReport(t *testing.T) {
	g := New(WithOrder(OrderStaged))
	g.Add(waiter(errors.New("told to")))
	running, seen := make(chan struct{}), make(chan struct{})
	g.AddNamed("first", func() error { close(running); <-seen; return io.EOF }, func(error) {})
	if report := g.Report(); report.Actors[0].State != StateAdded || !strings.Contains(report.String(), "not run") {
		t.Error(report)
	}
	result := make(chan error)
	go func() { result <- g.Run() }()
	<-running
	if report := g.Report(); report.Actors[0].State != StateRunning || report.Finished || !strings.Contains(report.String(), "running for") {
		t.Error(report)
	}
	close(seen)
	<-result
	report := g.Report()
	first, other := report.Actors[1], report.Actors[0]
	if report.Cause != 1 || report.Message != "EOF" || report.Err != io.EOF || first.Err != io.EOF ||
		other.Name != "actor-0" || other.Message != "told to" ||
		other.Interrupted < other.Interrupting || other.Interrupting < report.StoppingAfter {
		t.Errorf("%+v", report)
	}
	if text := report.String(); !strings.Contains(text, `ended by "first" with code 1 (EOF)`) || !strings.Contains(text, "told to") {
		t.Error(text)
	}
	if !strings.Contains(report.Trace(), `"traceEvents"`) {
		t.Error(report.Trace())
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g := New(WithLogger(logger))
	g.Add(waiter(nil))
	g.AddNamed("first", func() error { return io.EOF }, func(error) {})
	finishes(t, g)
	text := out.String()
	at := 0
	for _, part := range []string{"actor started", "actor started", "actor returned", "group stopping", "actor=first code=1 error=EOF",
		"interrupting actor", "actor=actor-0", "interrupt returned", "group stopped"} {
		found := strings.Index(text[at:], part)
		if found < 0 {
			t.Fatalf("no %q in:\n%s", part, text)
		}
		at += found
	}
}

func TestNativeActors(t *testing.T) {
	released := ctest.Released()
	var g Group
	var handle unsafe.Pointer
	g.AddNamed("go's", func() error { return errors.New("the reason") }, func(error) {})
	err := g.AddNative(func(group unsafe.Pointer) error {
		handle = group
		return ctest.Add(group, "c's", ctest.WaitsForStop, 5, "told to")
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Add(func() error {
		<-g.Stopping()
		if !ctest.Stopping(handle) {
			t.Error("C does not see the stop")
		}
		return nil
	}, func(error) {})
	if err := finishes(t, &g); err == nil || err.Error() != "the reason" {
		t.Error(err)
	}
	report := g.Report()
	if actor := report.Actors[1]; actor.Name != "c's" || actor.Code != 5 || actor.Message != "told to" || report.Actors[2].Name != "actor-2" {
		t.Error(report)
	}
	if cause := ctest.LastCause(); cause != "go's: the reason" {
		t.Error(cause)
	}
	if ctest.Released() != released+1 {
		t.Error("not released")
	}

	var other Group
	var got error
	execute, interrupt := waiter(nil)
	other.Add(execute, func(err error) { got = err; interrupt(err) })
	other.AddNative(func(group unsafe.Pointer) error {
		return ctest.Add(group, "c's", ctest.Returns, 7, "broken")
	})
	err = finishes(t, &other)
	var actor *ActorError
	if !errors.As(err, &actor) || actor.Code() != 7 || actor.Actor != "c's" || actor.Message != "broken" || got.Error() != err.Error() {
		t.Error(err, got)
	}

	if !closed(other.Stopping()) {
		t.Error("the channel is asked for when the library's group is freed, and not closed")
	}

	var stopped Group
	stopped.AddNative(func(group unsafe.Pointer) error { handle = group; return nil })
	stopped.Add(waiter(nil))
	stopped.Add(func() error { ctest.Stop(handle, 9); <-stopped.Stopping(); return nil }, func(error) {})
	if err := finishes(t, &stopped); !errors.As(err, &actor) || actor.Code() != 9 || actor.Actor != "" {
		t.Error(err)
	}
	failed := errors.New("no")
	if err := new(Group).AddNative(func(unsafe.Pointer) error { return failed }); err != failed {
		t.Error(err)
	}
}

// TRAPS: a native handler makes Notify deaf unless it chains, and one without
// SA_ONSTACK is fatal in Go.
func TestNativeSignals(t *testing.T) {
	for i := 0; i < 20; i++ {
		received := make(chan os.Signal, 1)
		signal.Notify(received, syscall.SIGTERM)
		var g Group
		if err := g.AddNative(func(group unsafe.Pointer) error {
			return ctest.AddSignals(group, int(syscall.SIGTERM))
		}); err != nil {
			t.Fatal(err)
		}
		g.Add(func() error {
			if !ctest.OnAlternateStack(int(syscall.SIGTERM)) {
				t.Error("the handler has no SA_ONSTACK")
			}
			if i%2 == 1 {
				// Nobody in Go asks for it: the process must live.
				signal.Stop(received)
			}
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
			<-g.Stopping()
			return nil
		}, func(error) {})
		err := finishes(t, &g)
		var actor *ActorError
		if !errors.As(err, &actor) || actor.Code() != 143 || actor.Message != "SIGTERM" {
			t.Fatal(err)
		}
		if i%2 == 0 {
			select {
			case <-received:
			case <-time.After(watchdog):
				t.Fatal("Go was not told of the signal")
			}
		}
		signal.Stop(received)
		if !ctest.OnAlternateStack(int(syscall.SIGTERM)) {
			t.Error("Go's handler did not come back")
		}
	}
}

func tasks() int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	return len(entries)
}

func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// TRAPS: 56 threads for 50 actors; here goroutines wait, not threads.
func TestNoThreadAnActor(t *testing.T) {
	before := tasks()
	var g Group
	for i := 0; i < 1000; i++ {
		g.Add(waiter(nil))
	}
	g.Add(func() error {
		if now := tasks(); now > before+10 {
			t.Errorf("%d threads, %d before", now, before)
		}
		return nil
	}, func(error) {})
	finishes(t, &g)
}

func resident() int {
	text, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// Nothing is left: goroutines, threads, descriptors, memory.
func TestNothingIsLeft(t *testing.T) {
	runs := 10000
	if text := os.Getenv("RUNGROUP_RUNS"); text != "" {
		runs, _ = strconv.Atoi(text)
	}
	one := func(i int) {
		g := new(Group)
		g.Add(waiter(nil))
		switch i % 10 {
		case 0:
			g = New(WithGrace(time.Minute), WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
			g.AddNamed("named", func() error { return nil }, func(error) {})
		case 1:
			g.AddNative(func(group unsafe.Pointer) error { return ctest.Add(group, "c", ctest.WaitsForStop, 1, "") })
		case 2:
			g.Stop(io.EOF)
		case 3:
			g.AddNamed("never run", func() error { return nil }, func(error) {})
			return
		}
		g.Add(returns(io.EOF))
		g.Run()
		if i%7 == 0 {
			_ = g.Report().String()
		}
	}
	settle := func() {
		for i := 0; i < 5; i++ {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	for i := 0; i < runs/5; i++ {
		one(i)
	}
	settle()
	goroutines, threads, fds, memory := runtime.NumGoroutine(), tasks(), descriptors(), resident()
	for i := 0; i < runs; i++ {
		one(i)
	}
	settle()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "no thread is left", func() bool { return tasks() <= threads+4 })
	if now := descriptors(); now > fds {
		t.Errorf("%d descriptors, %d before", now, fds)
	}
	// A leak of one library's group (about 1 KB) in ten runs would be seen.
	if grown := resident() - memory; !raced && grown > 8<<20+runs*50 {
		t.Errorf("%d bytes more after %d runs", grown, runs)
	}
}

// Reports, stops and adds from many goroutines meanwhile.
func TestConcurrentUse(t *testing.T) {
	for round := 0; round < 200; round++ {
		g := New()
		for i := 0; i < 20; i++ {
			g.Add(waiter(nil))
		}
		end := make(chan struct{})
		for i := 0; i < 4; i++ {
			i := i
			go func() {
				for {
					select {
					case <-end:
						return
					default:
					}
					_ = g.Report().String()
					refusal(func() error { g.Add(waiter(nil)); return nil })
					if i == 0 {
						g.Stop(io.EOF)
					}
				}
			}()
		}
		if err := finishes(t, g); err != io.EOF {
			t.Fatal(err)
		}
		close(end)
		for _, actor := range g.Report().Actors {
			if g.Report().Actors[0].Started >= 0 && actor.State != StateReturned {
				t.Fatal(g.Report())
			}
		}
	}
}

func ExampleGroup() {
	var g Group
	stop := make(chan struct{})
	g.Add(func() error {
		<-stop
		return nil
	}, func(err error) {
		fmt.Println("interrupted:", err)
		close(stop)
	})
	g.Add(func() error { return errors.New("the disk is full") }, func(error) {})
	fmt.Println("Run:", g.Run())
	// Output:
	// interrupted: the disk is full
	// Run: the disk is full
}

func ExampleGroup_AddContext() {
	var g Group
	g.AddContext(context.Background(), "worker", func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("worker:", context.Cause(ctx))
		return ctx.Err()
	})
	g.AddContext(context.Background(), "first", func(context.Context) error { return errors.New("no work left") })
	fmt.Println("Run:", g.Run())
	// Output:
	// worker: no work left
	// Run: no work left
}

func ExampleWithGrace() {
	g := New(WithGrace(500 * time.Millisecond))
	forever := make(chan struct{})
	g.AddNamed("deaf", func() error { <-forever; return nil }, func(error) {})
	g.AddNamed("first", func() error { return nil }, func(error) {})
	err := g.Run()
	var stuck *StuckError
	if errors.As(err, &stuck) {
		for _, actor := range stuck.Actors {
			fmt.Println(actor.Name, "is stuck:", actor.StuckExecute)
		}
	}
	close(forever)
	// Output:
	// deaf is stuck: true
}

func ExampleGroup_Stop() {
	var g Group
	g.AddContext(context.Background(), "worker", func(ctx context.Context) error {
		g.Stop(errors.New("told to end"))
		<-ctx.Done()
		return ctx.Err()
	})
	fmt.Println(g.Run())
	// Output: told to end
}
