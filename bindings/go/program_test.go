//go:build cgo

package rungroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nilContext is a context that a program has forgotten to set.
var nilContext context.Context

// programs are run in processes of their own: they end as a process does.
var programs = map[string]func(){
	"execute panics": func() {
		var g Group
		execute, interrupt := waiter(nil)
		g.AddNamed("waits", func() error { defer fmt.Println("waits has returned"); return execute() }, interrupt)
		g.AddNamed("bad", func() error { var p *codeError; panicHere(p.code); return nil }, func(error) {})
		fmt.Println("Run returned", g.Run())
	},
	"interrupt panics": func() {
		var g Group
		execute, interrupt := waiter(nil)
		g.AddNamed("bad", execute, func(err error) { interrupt(err); interrupt(err) })
		execute2, interrupt2 := waiter(nil)
		g.AddNamed("waits", func() error { defer fmt.Println("waits has returned"); return execute2() }, interrupt2)
		g.Add(returns(nil))
		fmt.Println("Run returned", g.Run())
	},
	"panic is an error": func() {
		g := New(WithPanicErrors())
		g.AddNamed("bad", func() error { panicHere("boom"); return nil }, func(error) {})
		err := g.Run()
		fmt.Printf("Run returned %v\n", err)
		os.Exit(3)
	},
	"SignalHandler": func() {
		signalProgram(SignalHandler(context.Background(), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM))
	},
	"SignalHandler of one":  func() { signalProgram(SignalHandler(context.Background(), syscall.SIGHUP)) },
	"SignalHandler of none": func() { signalProgram(SignalHandler(context.Background())) },
	"AddSignals":            func() { signalProgram(nil, nil, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM) },
	"AddSignals of none":    func() { signalProgram(nil, nil) },
	"AddSignals and Notify": func() {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
		signalProgram(nil, nil)
	},
}

// signalProgram runs a group with a signal actor. It says when it listens, and
// when its other actor is interrupted; that one returns when its input ends.
func signalProgram(execute func() error, interrupt func(error), signals ...os.Signal) {
	var g Group
	if execute != nil {
		listening := execute
		g.Add(func() error {
			// What listens after Run has begun is listening once this is absorbed.
			return listening()
		}, interrupt)
	} else {
		g.AddSignals(signals...)
	}
	g.Add(func() error {
		io.Copy(io.Discard, os.Stdin)
		return errors.New("the input has ended")
	}, func(err error) { fmt.Println("interrupted:", err) })
	g.Add(func() error {
		if execute != nil {
			time.Sleep(50 * time.Millisecond) // until the goroutine above listens
		}
		fmt.Println("running")
		<-g.Stopping()
		return nil
	}, func(error) {})
	fmt.Println("Run returned", g.Run())
}

// process is one of programs, running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *lines
}

// lines are what a process has said, as it comes.
type lines struct {
	all  strings.Builder
	have chan string
}

func (l *lines) Write(data []byte) (int, error) {
	l.have <- string(data)
	return len(data), nil
}

// says waits until the process has said the text.
func (p *process) says(text string) {
	p.t.Helper()
	limit := time.After(watchdog)
	for !strings.Contains(p.output.all.String(), text) {
		select {
		case more := <-p.output.have:
			p.output.all.WriteString(more)
		case <-limit:
			p.cmd.Process.Kill()
			p.t.Fatalf("it does not say %q: %s", text, p.output.all.String())
		}
	}
}

func begin(t *testing.T, name string, wrapper ...string) *process {
	t.Helper()
	command := append(wrapper, os.Args[0])
	p := &process{t: t, cmd: exec.Command(command[0], command[1:]...), output: &lines{have: make(chan string, 1000)}}
	p.cmd.Env = append(os.Environ(), "RUNGROUP_TEST_PROGRAM="+name)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// handled waits until no signal is on its way to the process, and no thread of it
// is in a handler: what is handled after the run goes to the disposition of before.
func (p *process) handled() {
	p.t.Helper()
	limit := time.Now().Add(watchdog)
	for {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
		quiet := err == nil && len(threads) > 0
		for _, thread := range threads {
			status, err := os.ReadFile(thread)
			quiet = quiet && err == nil && strings.Contains(string(status), "State:\tS") &&
				strings.Contains(string(status), "ShdPnd:\t0000000000000000")
		}
		if quiet {
			return
		}
		if time.Now().After(limit) {
			p.t.Fatal("it does not come to rest")
		}
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end, with this status; all that it said.
func (p *process) ends(status string) string {
	p.t.Helper()
	timer := time.AfterFunc(watchdog, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	p.cmd.Wait()
	for len(p.output.have) > 0 {
		p.output.all.WriteString(<-p.output.have)
	}
	said := p.output.all.String()
	if got := p.cmd.ProcessState.String(); got != status {
		p.t.Errorf("it ended with %s, not %s:\n%s", got, status, said)
	}
	return said
}

// A program that has moved from oklog/run by its import ends as it did.
func TestAPanicEndsTheProcess(t *testing.T) {
	for name, parts := range map[string][]string{
		"execute panics": {"panic: runtime error: invalid memory address", `[actor "bad"]`, "goroutine ", "program_test.go",
			"waits has returned", `panic: actor "bad" panicked: runtime error: invalid memory address`},
		"interrupt panics": {"panic: close of closed channel", "goroutine ", "waits has returned",
			`panic: actor "bad" panicked: close of closed channel`},
	} {
		said := begin(t, name).ends("exit status 2")
		at := 0
		for _, part := range parts {
			found := strings.Index(said[at:], part)
			if found < 0 {
				t.Errorf("%s: no %q, or not there, in\n%s", name, part, said)
				break
			}
			at += found
		}
		if strings.Contains(said, "Run returned") {
			t.Errorf("%s: %s", name, said)
		}
	}
	said := begin(t, "panic is an error").ends("exit status 3")
	if !strings.Contains(said, "panicHere") || !strings.Contains(said, `Run returned actor "bad" panicked: boom`) {
		t.Error(said)
	}
}

// A process that was started with an ignored signal (nohup) goes on ignoring it.
func TestAnInheritedIgnoreStays(t *testing.T) {
	for _, name := range []string{"SignalHandler", "SignalHandler of one", "AddSignals"} {
		p := begin(t, name, "sh", "-c", `trap "" HUP INT; exec "$0"`)
		p.says("running")
		p.signal(syscall.SIGHUP)
		p.signal(syscall.SIGINT)
		if name == "SignalHandler of one" {
			p.stdin.Close()
		} else {
			p.signal(syscall.SIGTERM)
			p.says("interrupted: received signal terminated")
			p.stdin.Close()
		}
		if said := p.ends("exit status 0"); strings.Contains(said, "hangup") || strings.Contains(said, "interrupt\n") {
			t.Error(name, said)
		}
	}
}

// None given means SIGINT and SIGTERM: not, say, SIGURG, SIGCHLD or SIGUSR1.
func TestNoSignalsGiven(t *testing.T) {
	for _, name := range []string{"SignalHandler of none", "AddSignals of none"} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			p := begin(t, name)
			p.says("running")
			p.signal(syscall.SIGURG)
			p.signal(syscall.SIGCHLD)
			p.signal(syscall.SIGWINCH)
			p.signal(sig)
			p.says("interrupted: received signal " + sig.String())
			p.stdin.Close()
			p.ends("exit status 0")
		}
		p := begin(t, name)
		p.says("running")
		p.signal(syscall.SIGHUP)
		p.ends("signal: hangup")
	}
}

// Rule 16: what comes again while the group stops.
func TestAddSignalsTwice(t *testing.T) {
	for _, name := range []string{"AddSignals", "AddSignals and Notify"} {
		p := begin(t, name)
		p.says("running")
		p.signal(syscall.SIGTERM)
		p.says("interrupted: received signal terminated")
		for i := 0; i < 3; i++ {
			p.signal(syscall.SIGTERM)
		}
		p.signal(syscall.SIGINT) // the first key
		p.handled()
		p.stdin.Close()
		if said := p.ends("exit status 0"); !strings.Contains(said, "Run returned received signal terminated") {
			t.Error(said)
		}

		p = begin(t, name)
		p.says("running")
		p.signal(syscall.SIGINT)
		p.signal(syscall.SIGINT) // delivered twice
		p.says("interrupted: received signal interrupt")
		time.Sleep(300 * time.Millisecond) // so that the next is another key
		p.signal(syscall.SIGINT)
		p.ends("signal: interrupt")
	}
}

// Signals that come while the group stops for another reason.
func TestAddSignalsWhileStopping(t *testing.T) {
	var g Group
	g.AddSignals(syscall.SIGTERM)
	g.Add(returns(io.EOF))
	g.Add(func() error {
		<-g.Stopping()
		// Both groups are told at once: when the inner one has heard it, so has g.
		var inner Group
		inner.AddSignals(syscall.SIGTERM)
		inner.Add(func() error {
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
			<-inner.Stopping()
			return nil
		}, func(error) {})
		inner.Run()
		return nil
	}, func(error) {})
	if err := finishes(t, &g); err != io.EOF {
		t.Error(err)
	}
}

func TestAddSignals(t *testing.T) {
	var g Group
	g.AddSignals(syscall.SIGUSR1)
	var given error
	g.Add(func() error {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-g.Stopping()
		return nil
	}, func(err error) { given = err })
	err := finishes(t, &g)
	var received *SignalError
	if !errors.As(err, &received) || received.Signal != syscall.SIGUSR1 || !errors.Is(err, ErrSignal) || given != err {
		t.Error(err, given)
	}
	report := g.Report()
	if report.Actors[0].Name != "signals" || !errors.Is(report.Actors[0].Err, ErrSignal) || report.Code != 128+int(syscall.SIGUSR1) {
		t.Error(report)
	}
	refused := refusal(func() error { new(Group).AddSignals(syscall.SIGKILL); return nil })
	if !errors.Is(refused, ErrInvalid) {
		t.Error(refused)
	}
	if refused := refusal(func() error { g.AddSignals(); return nil }); !errors.Is(refused, ErrState) {
		t.Error(refused)
	}
}
