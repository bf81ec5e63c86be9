//go:build cgo

package rungroup

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"rungroup/internal/ctest"
)

// The table of tests/conformance, through Go; that folder's README.md says how
// to read it.

const table = "../../tests/conformance/cases.txt"

const watchdog = 60 * time.Second

const inTime = 500 * time.Millisecond // what is not stuck ends in it, on a busy machine too

var (
	features = map[string]bool{"message": true, "misuse": true, "nested": true, "null": true,
		"panic": true, "process": true, "threads": true}
	absent = map[string]bool{"async": true, "codes": true, "complain": true, "handles": true, "stack": true}
)

type caseActor struct {
	label, name        string
	execute, interrupt []string
	without, refused   string
	signals            []string
	index              int // in the library; -1: not added

	executes, interrupts int
	left                 bool
	causes               []error
}

type caseGroup struct {
	t       *caseRun
	group   *Group
	grace   time.Duration
	order   Order
	actors  []*caseActor
	before  []string
	after   []string
	outside [][]string
	expect  []string
	child   *caseGroup
	graced  bool

	err          error
	interrupted  []string
	interrupting int
	overlap      bool
}

// caseRun is one run of a case.
type caseRun struct {
	name  string
	needs []string
	main  *caseGroup

	mu     sync.Mutex
	gates  map[string]chan struct{}
	wrongs []string
	busy   sync.WaitGroup
}

func (c *caseRun) wrong(format string, arguments ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrongs = append(c.wrongs, fmt.Sprintf(format, arguments...))
}

func (c *caseRun) gate(name string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gates[name] == nil {
		c.gates[name] = make(chan struct{})
	}
	return c.gates[name]
}

func (c *caseRun) isOpen(name string) bool {
	select {
	case <-c.gate(name):
		return true
	default:
		return false
	}
}

func (c *caseRun) open(name string) {
	gate := c.gate(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-gate:
	default:
		close(gate)
	}
}

// codeError is an error with a code and a message of the table's choice.
type codeError struct {
	code int
	text string
}

func (e *codeError) Error() string { return e.text }
func (e *codeError) Code() int     { return e.code }

func numberOf(word string) int {
	named := map[string]Error{"RG_EINVAL": ErrInvalid, "RG_ESTATE": ErrState,
		"RG_ETIMEDOUT": ErrTimedOut, "RG_EPANIC": ErrExited, "RG_ESPAWN": ErrSpawn, "RG_ENOMEM": ErrMemory}
	if code, ok := named[word]; ok {
		return int(code)
	}
	number, err := strconv.Atoi(word)
	if err != nil {
		panic("not a number: " + word)
	}
	return number
}

func signalOf(word string) syscall.Signal {
	return map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM}[word]
}

func script(text string) (actions []string) {
	for _, action := range strings.Split(text, ";") {
		if action = strings.TrimSpace(action); action != "" {
			actions = append(actions, action)
		}
	}
	return actions
}

func parseCases(text string) (cases []*caseRun) {
	var at *caseGroup
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, rest, _ := strings.Cut(line, " ")
		var c *caseRun
		if key == "case" {
			c = &caseRun{name: rest, gates: make(map[string]chan struct{})}
			c.main = &caseGroup{t: c}
			at = c.main
			cases = append(cases, c)
			continue
		}
		c = cases[len(cases)-1]
		switch key {
		case "rule", "proves":
		case "needs":
			c.needs = strings.Fields(rest)
		case "grace":
			at.graced, at.grace = true, time.Duration(numberOf(rest))*time.Millisecond
		case "order":
			at.order = map[string]Order{"added": OrderAdded, "reverse": OrderReverse, "staged": OrderStaged}[rest]
		case "before":
			at.before = script(rest)
		case "after":
			at.after = script(rest)
		case "outside":
			at.outside = append(at.outside, script(rest))
		case "expect":
			at.expect = append(at.expect, rest)
		case "group":
			at.child = &caseGroup{t: c}
			at = at.child
		case "actor":
			label, _, _ := strings.Cut(rest, " ")
			at.actors = append(at.actors, &caseActor{label: label, name: label, index: -1,
				execute: []string{"wait-stop", "return 0"}})
		default:
			actor := at.actors[len(at.actors)-1]
			switch key {
			case "execute":
				actor.execute = script(rest)
			case "interrupt":
				actor.interrupt = script(rest)
			case "start", "stack":
			case "named":
				actor.name = rest
			case "long-name":
				actor.name = strings.Repeat("n", numberOf(rest))
			case "without":
				actor.without = rest
			case "on":
				actor.signals = strings.Fields(rest)
			case "refused":
				actor.refused = rest
			default:
				panic("unknown line: " + line)
			}
		}
	}
	return cases
}

func (g *caseGroup) find(label string) *caseActor {
	for _, actor := range g.actors {
		if actor.label == label {
			return actor
		}
	}
	panic("no such actor: " + label)
}

// refusal is the error with which f is refused.
func refusal(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = value.(*UsageError)
		}
	}()
	return f()
}

func (g *caseGroup) build(mixed bool) {
	options := []Option{WithPanicErrors()}
	if g.graced {
		options = append(options, WithGrace(g.grace))
	}
	g.group = New(append(options, WithOrder(g.order))...)
	if mixed {
		if err := g.group.AddNative(func(unsafe.Pointer) error { return nil }); err != nil {
			g.t.wrong("AddNative: %v", err)
		}
	}
	index := 0
	for _, actor := range g.actors {
		actor := actor
		err := refusal(func() error {
			if actor.signals != nil {
				return g.group.AddNative(func(group unsafe.Pointer) error {
					var numbers []int
					for _, word := range actor.signals {
						numbers = append(numbers, int(signalOf(word)))
					}
					return ctest.AddSignals(group, numbers...)
				})
			}
			execute := func() error { return g.execute(actor) }
			interrupt := func(err error) { g.interrupt(actor, err) }
			if actor.without == "execute" {
				execute = nil
			}
			if actor.without == "interrupt" {
				interrupt = nil
			}
			g.group.AddNamed(actor.name, execute, interrupt)
			return nil
		})
		if actor.refused == "" && err != nil {
			g.t.wrong("adding %s: %v", actor.label, err)
		}
		if actor.refused != "" && !errors.Is(err, Error(numberOf(actor.refused))) {
			g.t.wrong("adding %s gave %v", actor.label, err)
		}
		if err == nil {
			actor.index = index
			index++
		}
	}
}

func (g *caseGroup) execute(actor *caseActor) error {
	g.t.busy.Add(1)
	defer g.t.busy.Done()
	g.t.mu.Lock()
	actor.executes++
	g.t.mu.Unlock()
	defer func() {
		g.t.mu.Lock()
		actor.left = true
		g.t.mu.Unlock()
	}()
	return g.play(actor.execute)
}

func (g *caseGroup) interrupt(actor *caseActor, err error) {
	g.t.busy.Add(1)
	defer g.t.busy.Done()
	g.t.mu.Lock()
	actor.interrupts++
	actor.causes = append(actor.causes, err)
	g.interrupted = append(g.interrupted, actor.label)
	g.overlap = g.overlap || g.interrupting > 0
	g.interrupting++
	g.t.mu.Unlock()
	defer func() {
		g.t.mu.Lock()
		g.interrupting--
		g.t.mu.Unlock()
	}()
	g.play(actor.interrupt)
}

func (g *caseGroup) play(actions []string) error {
	for _, action := range actions {
		verb, rest, _ := strings.Cut(action, " ")
		first, after, _ := strings.Cut(rest, " ")
		switch verb {
		case "open":
			g.t.open(rest)
		case "wait":
			<-g.t.gate(rest)
		case "wait-stop", "wait-fd":
			<-g.group.Stopping()
		case "return":
			if code := numberOf(rest); code != 0 {
				return &codeError{code, "returned " + rest}
			}
			return nil
		case "fail":
			return &codeError{numberOf(first), after}
		case "panic":
			panic(rest)
		case "exit-thread":
			runtime.Goexit()
		case "stop":
			g.stop(numberOf(rest))
		case "check":
			g.check(first, after)
		case "try":
			g.try(first, after)
		case "run-child":
			return g.child.run()
		case "stop-child":
			g.child.stop(numberOf(rest))
		case "raise":
			if err := syscall.Kill(os.Getpid(), signalOf(rest)); err != nil {
				g.t.wrong("raise: %v", err)
			}
		default:
			panic("unknown action: " + action)
		}
	}
	return nil
}

func (g *caseGroup) stop(code int) {
	if code == 0 {
		g.group.Stop(nil)
		return
	}
	g.group.Stop(&codeError{code, "stopped"})
}

func (g *caseGroup) stopping() bool { return closed(g.group.Stopping()) }

func (g *caseGroup) check(what, which string) {
	left := func() bool {
		actor := g.find(which)
		g.t.mu.Lock()
		defer g.t.mu.Unlock()
		return actor.left
	}
	good := false
	switch what {
	case "stopping", "fd":
		good = g.stopping()
	case "not-stopping", "not-fd":
		good = !g.stopping()
	case "open":
		good = g.t.isOpen(which)
	case "closed":
		good = !g.t.isOpen(which)
	case "left":
		good = left()
	case "not-left":
		good = !left()
	}
	if !good {
		g.t.wrong("check %s %s failed", what, which)
	}
}

func (g *caseGroup) try(what, code string) {
	err := refusal(func() error {
		switch what {
		case "add":
			g.group.Add(func() error { return nil }, func(error) {})
		case "run":
			return g.group.Run()
		case "grace", "order":
			// There is no way to set them after New.
			return ErrState
		case "bad-order":
			return New(WithOrder(99)).Run()
		default:
			panic("unknown try: " + what)
		}
		return nil
	})
	if !errors.Is(err, Error(numberOf(code))) {
		g.t.wrong("try %s gave %v", what, err)
	}
}

func (g *caseGroup) run() error {
	g.err = g.group.Run()
	return g.err
}

func (g *caseGroup) expects(what string) bool {
	for _, line := range g.expect {
		if line == what {
			return true
		}
	}
	return false
}

func (g *caseGroup) compare() {
	report := g.group.Report()
	wrong := func(line string) {
		g.t.wrong("expected %s; got %v, interrupted %v\n%v", line, g.err, g.interrupted, report)
	}
	g.t.mu.Lock()
	interruptedNow, overlap := strings.Join(g.interrupted, " "), g.overlap
	g.t.mu.Unlock()
	stuck := make(map[string]string)
	for _, line := range g.expect {
		what, rest, _ := strings.Cut(line, " ")
		label, rest2, _ := strings.Cut(rest, " ")
		code, said, _ := strings.Cut(rest2, " ")
		good := true
		switch what {
		case "code":
			// Where the table has a code of another kind of failure.
			// What was refused has not run, and has no code in the report.
			refused := errors.Is(g.err, ErrInvalid) && !report.Finished
			good = codeOf(g.err) == numberOf(rest) && (refused || report.Code == numberOf(rest))
		case "cause":
			switch label {
			case "none":
				good = !report.Stopped
			case "outside":
				good = report.Stopped && report.Cause == -1 && report.CauseCode == numberOf(code)
			default:
				good = report.Cause == g.find(label).index && report.CauseCode == numberOf(code) &&
					strings.Contains(report.Message, said)
			}
		case "interrupted":
			var called []string
			for _, name := range strings.Fields(rest) {
				if g.find(name).signals == nil {
					called = append(called, name)
				}
			}
			good = interruptedNow == strings.Join(called, " ")
		case "result":
			actor := report.Actors[g.find(label).index]
			good = actor.State >= StateReturned && actor.Code == numberOf(code) && strings.Contains(actor.Message, said)
		case "complaint":
			actor := report.Actors[g.find(label).index]
			good = actor.Complaint != "" && strings.Contains(actor.Complaint, rest2)
		case "stuck":
			stuck[label] = rest2
		case "overlap", "nothing":
		default:
			panic("unknown expect: " + line)
		}
		if !good {
			wrong(line)
		}
	}
	if overlap != g.expects("overlap") {
		g.t.wrong("interrupts overlapped: %v", overlap)
	}
	for _, actor := range g.actors {
		if actor.index < 0 {
			continue
		}
		got := report.Actors[actor.index]
		kind := map[[2]bool]string{{true, false}: "execute", {false, true}: "interrupt", {true, true}: "both"}[[2]bool{got.StuckExecute, got.StuckInterrupt}]
		if kind != stuck[actor.label] {
			g.t.wrong("%s: stuck %q", actor.label, kind)
		}
		if got.State >= StateReturned != (!g.expects("nothing") && !got.StuckExecute) {
			g.t.wrong("%s: its state is %v", actor.label, got.State)
		}
	}
	var stuckErr *StuckError
	if errors.As(g.err, &stuckErr) != (len(stuck) > 0) {
		g.t.wrong("the error is %v", g.err)
	}
	if stuckErr != nil {
		for _, actor := range stuckErr.Actors {
			if actor.StuckExecute != strings.Contains(actor.ExecuteStack, "(*caseGroup).execute") ||
				actor.StuckInterrupt != strings.Contains(actor.InterruptStack, "(*caseGroup).interrupt") {
				g.t.wrong("the stacks of %v are %q, %q", actor.Name, actor.ExecuteStack, actor.InterruptStack)
			}
		}
	}
}

func (g *caseGroup) counts() {
	want := 1
	if g.expects("nothing") {
		want = 0
	}
	cause := g.err
	var stuck *StuckError
	if errors.As(g.err, &stuck) {
		cause = stuck.Cause
	}
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	for _, actor := range g.actors {
		if actor.signals != nil {
			continue
		}
		expected := want
		if actor.index < 0 {
			expected = 0
		}
		if actor.executes != expected || actor.interrupts != expected {
			g.t.wrongs = append(g.t.wrongs, fmt.Sprintf("%s: %d executes, %d interrupts", actor.label, actor.executes, actor.interrupts))
		}
		for _, err := range actor.causes {
			if _, ok := err.(*ActorError); !ok && err != cause {
				g.t.wrongs = append(g.t.wrongs, fmt.Sprintf("%s was interrupted with %v", actor.label, err))
			}
		}
	}
}

func (c *caseRun) run(mixed bool) {
	g := c.main
	if g.child != nil {
		g.child.build(mixed)
	}
	g.build(mixed)
	g.play(g.before)
	var outside sync.WaitGroup
	for _, actions := range g.outside {
		actions := actions
		waiting := &outside
		if len(actions) > 0 && actions[0] == "wait end" {
			waiting = &c.busy
		}
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			g.play(actions)
		}()
	}
	g.run()
	g.play(g.after)
	outside.Wait()
	g.compare()
	if g.child != nil {
		g.child.compare()
	}
	c.open("end")
	c.busy.Wait()
	g.counts()
	if g.child != nil {
		g.child.counts()
	}
}

func runTable(t *testing.T, mixed bool, skip func(*caseRun) bool) {
	text, err := os.ReadFile(table)
	if err != nil {
		t.Skip("the table is in the repository only: ", err)
	}
	passed, skipped := 0, 0
next:
	for _, c := range parseCases(string(text)) {
		for _, feature := range c.needs {
			if absent[feature] {
				skipped++
				continue next
			}
			if !features[feature] {
				t.Errorf("%s needs %s, which nobody knows", c.name, feature)
			}
		}
		if skip != nil && skip(c) {
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.run(mixed)
		}()
		select {
		case <-done:
		case <-time.After(watchdog):
			panic("hangs: " + c.name)
		}
		if len(c.wrongs) > 0 {
			t.Errorf("%s:\n  %s", c.name, strings.Join(c.wrongs, "\n  "))
			continue
		}
		passed++
	}
	t.Logf("%d cases passed, %d skipped", passed, skipped)
	if passed == 0 {
		t.Error("no case")
	}
}

func TestConformance(t *testing.T) { runTable(t, false, nil) }

// The same groups as C code sees them: with the library's descriptor, and with
// texts.
func TestConformanceShared(t *testing.T) { runTable(t, true, nil) }

// Those without a grace, which take no time of their own, very often.
func TestConformanceManyTimes(t *testing.T) {
	times := 20
	if text := os.Getenv("RUNGROUP_TIMES"); text != "" {
		times, _ = strconv.Atoi(text)
	}
	for i := 0; i < times && !t.Failed(); i++ {
		runTable(t, i%2 == 1, func(c *caseRun) bool {
			if !c.main.graced {
				return false
			}
			for _, line := range c.main.expect {
				if strings.HasPrefix(line, "stuck") || line == "overlap" {
					return true
				}
			}
			return false
		})
	}
}
