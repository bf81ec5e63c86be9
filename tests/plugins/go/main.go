// A test's actor in Go: what it does is its argument. See mixed.c.
package main

import "C"

import (
	"context"
	"errors"
	"os"
	"strings"
	"unsafe"

	"rungroup"
)

type coded struct{ error }

func (coded) Code() int { return 3 }

func run(ctx context.Context, does string) error {
	switch does {
	case "return":
		return coded{errors.New("")}
	case "fail":
		return errors.New("said in Go")
	case "stick":
		select {}
	}
	<-ctx.Done()
	var cause *rungroup.ActorError
	if does == "echo" && errors.As(context.Cause(ctx), &cause) {
		return errors.New(cause.Message)
	}
	return nil
}

// hold is an execute that is stuck until the pipe's other end is closed.
func hold(fd string) (func(context.Context) error, error) {
	pipe, err := os.Open("/proc/self/fd/" + fd)
	return func(context.Context) error {
		defer pipe.Close()
		pipe.Read(make([]byte, 1))
		return nil
	}, err
}

//export plugin_join
func plugin_join(group unsafe.Pointer, argument *C.char) C.int {
	host, err := rungroup.HostOf(group)
	if err == nil {
		does := C.GoString(argument)
		execute := func(ctx context.Context) error { return run(ctx, does) }
		if fd, holds := strings.CutPrefix(does, "hold "); holds {
			execute, err = hold(fd)
		}
		if err == nil {
			err = host.AddContext(context.Background(), "Go", execute)
		}
	}
	var code rungroup.Error
	if errors.As(err, &code) {
		return C.int(code)
	}
	return 0
}

func main() {}
