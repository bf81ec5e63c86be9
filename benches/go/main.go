// Command bench runs cycles of a group: N actors, N-1 of which wait for their
// interrupt, and one returns, at once (imm) or when all have started (bar).
//
//	bench rungroup|oklog N ROUNDS [bar|imm]   nanoseconds, a line a cycle
//	bench ratio N ROUNDS [bar|imm|grace]      both in turn: medians and ratio
//	bench stop N ROUNDS [own]                 the same from SIGTERM to the end of Run;
//	                                          own: by AddSignals, else by SignalHandler
//	bench memory rungroup|oklog N             bytes an actor, all running
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/run"
	"rungroup"
)

type group interface {
	Add(execute func() error, interrupt func(error))
	Run() error
}

var systems = map[string]func() group{
	"rungroup": func() group { return new(rungroup.Group) },
	"oklog":    func() group { return new(run.Group) },
}

var errDone = errors.New("done")

// cycle runs a group of n actors; once all run, full is called.
func cycle(g group, n int, bar bool, full func()) {
	var started atomic.Int64
	all := make(chan struct{})
	start := func() {
		if bar && started.Add(1) == int64(n) {
			close(all)
		}
	}
	for i := 1; i < n; i++ {
		stop := make(chan struct{})
		g.Add(func() error {
			start()
			<-stop
			return nil
		}, func(error) { close(stop) })
	}
	g.Add(func() error {
		start()
		if bar {
			<-all
		}
		full()
		return errDone
	}, func(error) {})
	if err := g.Run(); err != errDone {
		panic(fmt.Sprint("another error came out: ", err))
	}
}

func timed(system string, n int, bar bool) float64 {
	began := time.Now()
	cycle(systems[system](), n, bar, func() {})
	return float64(time.Since(began))
}

// stopped is the time from a SIGTERM to the end of Run, with n actors that wait
// for their interrupt, and one that listens.
func stopped(system string, n int, own bool) float64 {
	g := systems[system]()
	var started sync.WaitGroup
	for i := 0; i < n; i++ {
		stop := make(chan struct{})
		started.Add(1)
		g.Add(func() error { started.Done(); <-stop; return nil }, func(error) { close(stop) })
	}
	ctx := context.Background()
	switch group := g.(type) {
	case *rungroup.Group:
		if own {
			group.AddSignals(syscall.SIGTERM)
		} else {
			group.Add(rungroup.SignalHandler(ctx, syscall.SIGTERM))
		}
	case *run.Group:
		group.Add(run.SignalHandler(ctx, syscall.SIGTERM))
	}
	sent := make(chan time.Time, 1)
	go func() {
		started.Wait()
		time.Sleep(time.Millisecond) // until all wait, and the last listens
		sent <- time.Now()
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	g.Run()
	return float64(time.Since(<-sent))
}

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

func ratio(n, rounds int, timed func(system string) float64) {
	var ours, theirs, ratios []float64
	for i := 0; i < rounds; i++ {
		var a, b float64
		if i%2 == 0 {
			a, b = timed("rungroup"), timed("oklog")
		} else {
			b, a = timed("oklog"), timed("rungroup")
		}
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
	}
	a, b := median(ours), median(theirs)
	fmt.Printf("N=%d rungroup %.1f us, oklog/run %.1f us, medians' ratio %.2f, median ratio %.2f\n",
		n, a/1e3, b/1e3, a/b, median(ratios))
}

// resident is this process's resident memory in bytes.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages * os.Getpagesize())
}

func memory(system string, n int) {
	runtime.GC()
	before := resident()
	cycle(systems[system](), n, true, func() {
		fmt.Printf("%.0f\n", (resident()-before)/float64(n))
	})
}

func main() {
	words := append(os.Args[1:], "", "", "", "")
	number := func(word string) int {
		value, err := strconv.Atoi(word)
		if err != nil || value < 1 {
			fmt.Fprintln(os.Stderr, "usage: bench rungroup|oklog|ratio|stop N ROUNDS [MODE]; bench memory SYSTEM N")
			os.Exit(2)
		}
		return value
	}
	switch words[0] {
	case "ratio":
		if words[3] == "grace" {
			systems["rungroup"] = func() group { return rungroup.New(rungroup.WithGrace(time.Minute)) }
		}
		n := number(words[1])
		ratio(n, number(words[2]), func(system string) float64 { return timed(system, n, words[3] != "imm") })
	case "stop":
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // whoever does not listen yet
		n := number(words[1])
		ratio(n, number(words[2]), func(system string) float64 { return stopped(system, n, words[3] == "own") })
	case "memory":
		memory(words[1], number(words[2]))
	case "rungroup", "oklog":
		out := bufio.NewWriter(os.Stdout)
		defer out.Flush()
		for i := number(words[2]); i > 0; i-- {
			fmt.Fprintf(out, "%.0f\n", timed(words[0], number(words[1]), words[3] != "imm"))
		}
	default:
		number("")
	}
}
