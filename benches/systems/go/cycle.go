// Command cycle times oklog/run and errgroup; see ../../README.md. rungroup.go
// adds rungroup.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/run"
	"golang.org/x/sync/errgroup"
)

var errFirst = errors.New("the first has returned")

var systems = map[string]func(){
	"oklog/run": oklog,
	"errgroup":  group,
}

func oklog() {
	var g run.Group
	for i := 0; i < actors; i++ {
		addTo(&g, i)
	}
	if endBySignal {
		g.Add(run.SignalHandler(context.Background(), syscall.SIGTERM))
	}
	checkEnd(g.Run())
	endedAt = now()
}

type adder interface {
	Add(execute func() error, interrupt func(error))
}

func addTo(g adder, index int) {
	stop := make(chan struct{})
	if index == 0 {
		g.Add(func() error {
			awaitStart()
			if endBySignal {
				<-stop
			}
			return errFirst
		}, func(error) { close(stop) })
		return
	}
	g.Add(func() error { noteStart(); <-stop; return nil }, func(error) { close(stop) })
}

func group() {
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error { awaitStart(); return errFirst })
	for i := 1; i < actors; i++ {
		g.Go(func() error { noteStart(); <-ctx.Done(); return nil })
	}
	check(g.Wait() == errFirst, "wait")
	endedAt = now()
}

// ---- the clock, the barrier and the command line ---------------------------

var (
	actors                       int
	waitForAll, measureMemory    bool
	endBySignal                  bool
	began                        = time.Now()
	firstAt, returnedAt, endedAt int64
	started                      atomic.Int64
	allStarted                   chan struct{}
	memoryWithin                 [2]int64
)

func now() int64 { return int64(time.Since(began)) }

func check(holds bool, what string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "cycle:", what)
		os.Exit(1)
	}
}

// checkEnd looks at what a group has ended with.
func checkEnd(err error) {
	check(err != nil && (err == errFirst) != endBySignal, "run")
}

// noteStart is called first by each actor that waits.
func noteStart() {
	if !waitForAll {
		return
	}
	count := started.Add(1)
	if count == 1 {
		firstAt = now()
	}
	if count == int64(actors) {
		close(allStarted)
	}
}

// awaitStart is called first by the one that returns; it may when this does.
func awaitStart() {
	noteStart()
	if waitForAll {
		<-allStarted
	}
	if measureMemory {
		memoryWithin = memory()
	}
	if endBySignal {
		time.Sleep(time.Millisecond) // until all wait, and the last listens
	}
	returnedAt = now()
	if endBySignal {
		check(syscall.Kill(os.Getpid(), syscall.SIGTERM) == nil, "kill")
	}
	if !waitForAll {
		firstAt = returnedAt
	}
}

func memory() (bytes [2]int64) {
	text, err := os.ReadFile("/proc/self/statm")
	check(err == nil, "statm")
	_, err = fmt.Sscan(string(text), &bytes[1], &bytes[0])
	check(err == nil, "statm")
	for i := range bytes {
		bytes[i] *= int64(os.Getpagesize())
	}
	return bytes
}

func cycle(system func()) [3]int64 {
	started.Store(0)
	allStarted = make(chan struct{})
	began := now()
	system()
	return [3]int64{now() - began, endedAt - returnedAt, firstAt - began}
}

func round(system func(), cycles int) {
	if measureMemory {
		before := memory()
		cycle(system)
		fmt.Println(memoryWithin[0]-before[0], memoryWithin[1]-before[1])
		return
	}
	var times [3][]int64
	for i := 0; i < cycles; i++ {
		for part, time := range cycle(system) {
			times[part] = append(times[part], time)
		}
	}
	for part := range times {
		sort.Slice(times[part], func(i, j int) bool { return times[part][i] < times[part][j] })
	}
	fmt.Println(times[0][cycles/2], times[1][cycles/2], times[2][cycles/2])
}

func main() {
	check(len(os.Args) >= 5, "usage: cycle SYSTEM N bar|imm|term|mem ROUNDS|- [CYCLES]")
	system := systems[os.Args[1]]
	check(system != nil, "no such system")
	actors, _ = strconv.Atoi(os.Args[2])
	measureMemory = os.Args[3] == "mem"
	waitForAll = os.Args[3] != "imm"
	if endBySignal = os.Args[3] == "term"; endBySignal {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // whoever does not listen yet
	}
	cycles := 1
	if len(os.Args) > 5 {
		cycles, _ = strconv.Atoi(os.Args[5])
	}
	check(actors > 0 && cycles > 0, "numbers above 0, please")
	if os.Args[4] == "-" {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			round(system, cycles)
		}
		return
	}
	rounds, _ := strconv.Atoi(os.Args[4])
	for ; rounds > 0; rounds-- {
		round(system, cycles)
	}
}
