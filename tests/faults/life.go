// The life of some groups while one call of the C library fails, as in life.c,
// through Go's package and the shared library. Whatever comes of it is an error
// that says enough; afterwards all works, and nothing is left.
package main

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <rungroup.h>

static int begin(const char *fault, long call) {
	int (*function)(const char *, long);
	*(void **)&function = dlsym(RTLD_DEFAULT, "fault_begin");
	return function == NULL ? -2 : function(fault, call);
}

static long end(void) {
	long (*function)(void);
	*(void **)&function = dlsym(RTLD_DEFAULT, "fault_end");
	return function();
}

static int add_signals(void *group) {
	int signal = SIGUSR2;
	return rg_add_signals(group, &signal, 1);
}

static int waits(void *group) {
	rg_wait_stop(group, -1);
	return 0;
}

static int add_waits(void *group) { return rg_add(group, waits, rg_interrupt_none, group); }
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"net"
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

var errWhy = errors.New("why")

// life counts the errors; where nothing fails there must be none.
type life struct {
	perfect bool
	errors  int
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// fine says whether there is no error; one must say enough.
func (l *life) fine(err error) bool {
	if err == nil {
		return true
	}
	var actor *rungroup.ActorError
	var stuck *rungroup.StuckError
	known := errors.Is(err, rungroup.ErrMemory) || errors.Is(err, rungroup.ErrSpawn) ||
		errors.As(err, &actor) && actor.Message != "" || errors.As(err, &stuck)
	if l.perfect || !known || len(err.Error()) < 10 {
		fail("%v %T", err, err)
	}
	l.errors++
	return false
}

func (l *life) usage(add func()) {
	defer func() {
		if value := recover(); value != nil {
			l.fine(value.(error))
		}
	}()
	add()
}

func (l *life) group(native bool) {
	group := rungroup.New(rungroup.WithGrace(time.Minute))
	executed := make(chan bool, 1)
	l.usage(func() {
		group.AddContext(context.Background(), "waits", func(ctx context.Context) error { <-ctx.Done(); return nil })
	})
	execute, interrupt := rungroup.SignalHandler(context.Background(), syscall.SIGUSR1)
	l.usage(func() { group.AddNamed("signals", execute, interrupt) })
	if native {
		l.fine(group.AddNative(func(handle unsafe.Pointer) error {
			if code := C.add_signals(handle); code != 0 {
				return rungroup.Error(code)
			}
			if code := C.add_waits(handle); code != 0 {
				return rungroup.Error(code)
			}
			return nil
		}))
		l.fine(group.AddSystemd())
	}
	ended := false
	l.usage(func() {
		group.Add(func() error { executed <- true; return errWhy }, func(error) {})
		ended = true
	})
	if !ended {
		return
	}
	for again := 0; again < 4; again++ {
		err := group.Run()
		if errors.Is(err, errWhy) && !errors.Is(err, rungroup.ErrTimedOut) {
			break
		}
		before := l.errors
		l.fine(err)
		if l.errors == before {
			fail("it ended without a word")
		}
		if len(executed) > 0 || errors.Is(err, rungroup.ErrTimedOut) {
			break
		}
	}
	if text := group.Report().String(); !strings.Contains(text, "rungroup") {
		fail("the report is %q", text)
	}
}

func (l *life) all() {
	l.group(false)
	l.group(true)
	l.group(true)
}

// held is how many descriptors and threads of the library's there are. Go's own
// threads come and go.
func held() (descriptors int, threads []string) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		fail("%v", err)
	}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		name, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/comm")
		switch text := strings.TrimSpace(string(name)); text {
		case "signals", "systemd", "rg-interrupts", "rg-driver", "actor-3":
			threads = append(threads, text)
		}
	}
	return len(open), threads
}

func main() {
	time.AfterFunc(time.Minute, func() { panic("hangs") })
	fault := os.Args[1]
	call, _ := strconv.Atoi(os.Args[2])
	name := fmt.Sprintf("@rungroup-faults-%d", os.Getpid())
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		fail("%v", err)
	}
	os.Setenv("NOTIFY_SOCKET", name)
	go func() {
		for buffer := make([]byte, 4096); ; {
			if _, err := manager.Read(buffer); err != nil {
				return
			}
		}
	}()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR2) // Go's own descriptors are made
	lived := func(perfect bool) int {
		l := &life{perfect: perfect}
		l.all()
		for {
			if _, threads := held(); len(threads) == 0 {
				return l.errors
			}
			time.Sleep(time.Millisecond)
		}
	}
	lived(true)
	before, _ := held()
	text := C.CString(fault)
	if code := C.begin(text, C.long(call)); code != 0 {
		fail("no shim: %d", code)
	}
	count := lived(false)
	calls := C.end()
	lived(true)
	// A group that never ran goes when it is collected.
	for after := before + 1; after > before; after, _ = held() {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	fmt.Printf("%d calls, %d errors\n", calls, count)
}
