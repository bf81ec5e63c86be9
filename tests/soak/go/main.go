// Groups of random lives: goroutines, and actors that plugins bring. For each
// number N on stdin: N groups, then all that is stuck is let go, and "N" is said.
//
//	soak SEED ACTORS PLUGIN.so...     ACTORS: how many in a group, 0: any
package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

static void *load(const char *path) {
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return plugin == NULL ? NULL : dlsym(plugin, "plugin_join");
}

static int join(void *function, void *group, const char *argument) {
	return ((int (*)(void *, const char *))function)(group, argument);
}
*/
import "C"

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"rungroup"
)

const (
	doReturn = iota
	doFail
	doPanic
	doExit
	doStop
	doStopBefore
	doSignal
	ways
	doHold
	doWait
)

type coded struct{ error }

func (coded) Code() int { return 3 }

var (
	random    *rand.Rand
	plugins   []unsafe.Pointer
	errSaid   = errors.New("said in Go")
	errStop   = errors.New("stopped")
	errReturn = coded{errors.New("returned")}
)

func act(ctx context.Context, group *rungroup.Group, does int, gate chan struct{}) error {
	switch does {
	case doReturn:
		return errReturn
	case doFail:
		return errSaid
	case doPanic:
		panic(errSaid)
	case doExit:
		runtime.Goexit()
	case doStop:
		group.Stop(errStop)
	case doHold:
		group.Stop(errStop)
		<-gate
		return nil
	case doSignal:
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}
	<-ctx.Done()
	return ctx.Err()
}

func addNative(group *rungroup.Group, does int) {
	argument := map[int]string{doReturn: "return", doFail: "fail"}[does]
	if argument == "" {
		argument = "wait"
	}
	text := C.CString(argument)
	defer C.free(unsafe.Pointer(text))
	function := plugins[random.Intn(len(plugins))]
	err := group.AddNative(func(handle unsafe.Pointer) error {
		if code := C.join(function, handle, text); code != 0 {
			return rungroup.Error(code)
		}
		return nil
	})
	check(err == nil, "a plugin's actor", err)
}

func check(holds bool, what string, err error) {
	if !holds {
		fmt.Printf("soak: %s: %v\n", what, err)
		os.Exit(1)
	}
}

func oneLife(actors int) chan struct{} {
	how := random.Intn(ways)
	if random.Intn(64) == 0 {
		how = doHold
	}
	gate := make(chan struct{})
	options := []rungroup.Option{rungroup.WithPanicErrors(), rungroup.WithOrder(rungroup.Order(random.Intn(3)))}
	switch {
	case how == doHold:
		options = append(options, rungroup.WithGrace(time.Duration(1+random.Intn(5))*time.Millisecond))
	case random.Intn(2) == 0:
		options = append(options, rungroup.WithGrace(time.Minute))
	}
	if random.Intn(8) == 0 {
		options = append(options, rungroup.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	}
	group := rungroup.New(options...)
	count := actors
	if count == 0 {
		count = 1 + random.Intn(6)
	}
	chosen := random.Intn(count)
	native := false
	for index := 0; index < count; index++ {
		does := doWait
		if index == chosen {
			does = how
		}
		execute := func(ctx context.Context) error { return act(ctx, group, does, gate) }
		can := does == doReturn || does == doFail || does == doWait
		if len(plugins) > 0 && can && random.Intn(4) == 0 {
			native = native || index == chosen
			addNative(group, does)
		} else if random.Intn(2) == 0 {
			group.AddContext(context.Background(), fmt.Sprint("goroutine ", index), execute)
		} else {
			ctx, cancel := context.WithCancel(context.Background())
			group.Add(func() error { return execute(ctx) }, func(error) { cancel() })
		}
	}
	listens := how == doSignal || random.Intn(8) == 0
	if listens {
		group.Add(rungroup.SignalHandler(context.Background(), syscall.SIGTERM))
	}
	if how == doStopBefore {
		group.Stop(errStop)
	}
	// The handler may not be listening yet when the only signal comes.
	over := make(chan struct{})
	if how == doSignal {
		go func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(10 * time.Millisecond):
					syscall.Kill(os.Getpid(), syscall.SIGTERM)
				}
			}
		}()
	}
	err := group.Run()
	close(over)
	judge(how, native, listens, err)
	if random.Intn(8) == 0 {
		report := group.Report()
		check(strings.HasPrefix(report.String(), "rungroup: "), "the report", err)
	}
	return gate
}

func judge(how int, native, listens bool, err error) {
	if listens && errors.Is(err, rungroup.ErrSignal) && how != doHold {
		return // that may come from outside at any time
	}
	var panicked *rungroup.PanicError
	var foreign *rungroup.ActorError
	var stuck *rungroup.StuckError
	switch {
	case how == doHold:
		check(errors.As(err, &stuck) && len(stuck.Actors) > 0, "stuck", err)
	case native:
		check(errors.As(err, &foreign), "a plugin's actor's end", err)
	case how == doReturn:
		check(err == errReturn, "a return", err)
	case how == doFail:
		check(err == errSaid, "a failure", err)
	case how == doPanic:
		check(errors.As(err, &panicked) && errors.Is(err, errSaid), "a panic", err)
	case how == doExit:
		check(errors.Is(err, rungroup.ErrExited), "an exit", err)
	case how == doStop || how == doStopBefore:
		check(err == errStop, "a stop", err)
	default:
		check(false, "a signal", err)
	}
}

func main() {
	seed, err := strconv.ParseInt(os.Args[1], 10, 64)
	check(err == nil, "SEED", err)
	actors, err := strconv.Atoi(os.Args[2])
	check(err == nil, "ACTORS", err)
	random = rand.New(rand.NewSource(seed))
	for _, path := range os.Args[3:] {
		name := C.CString(path)
		plugin := C.load(name)
		C.free(unsafe.Pointer(name))
		check(plugin != nil, path, nil)
		plugins = append(plugins, plugin)
	}
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = null // panics are printed
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM) // for when no group listens
	idle := runtime.NumGoroutine() + 1                      // os/signal's
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		lives, err := strconv.Atoi(lines.Text())
		check(err == nil, "N", err)
		var held []chan struct{}
		for i := 0; i < lives; i++ {
			held = append(held, oneLife(actors))
			if len(held) > 8 {
				which := random.Intn(8)
				close(held[which])
				held = append(held[:which], held[which+1:]...)
			}
		}
		for _, gate := range held {
			close(gate)
		}
		for runtime.NumGoroutine() > idle { // collected only when they have returned
			time.Sleep(time.Millisecond)
		}
		runtime.GC() // runs finalizers that free groups
		runtime.GC()
		fmt.Println(lives)
	}
}
