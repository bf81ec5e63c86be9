// Command bench runs cycles of a group: N actors, N-1 of which wait for their
// interrupt, and one returns, at once (imm) or when all have started (bar).
//
//	bench rungroup|oklog N ROUNDS [bar|imm]   nanoseconds, a line a cycle
//	bench ratio N ROUNDS [bar|imm]            both in turn: medians and ratio
//	bench memory rungroup|oklog N             bytes an actor, all running
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
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

func median(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

func ratio(n, rounds int, bar bool) {
	var ours, theirs, ratios []float64
	for i := 0; i < rounds; i++ {
		var a, b float64
		if i%2 == 0 {
			a, b = timed("rungroup", n, bar), timed("oklog", n, bar)
		} else {
			b, a = timed("oklog", n, bar), timed("rungroup", n, bar)
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
			fmt.Fprintln(os.Stderr, "usage: bench rungroup|oklog|ratio N ROUNDS [bar|imm]; bench memory SYSTEM N")
			os.Exit(2)
		}
		return value
	}
	switch words[0] {
	case "ratio":
		ratio(number(words[1]), number(words[2]), words[3] != "imm")
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
