// A test's actor in Go: what it does is its argument. See mixed.c.
package main

import "C"

import (
	"context"
	"errors"
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

//export plugin_join
func plugin_join(group unsafe.Pointer, argument *C.char) C.int {
	host, err := rungroup.HostOf(group)
	if err == nil {
		does := C.GoString(argument)
		err = host.AddContext("Go", func(ctx context.Context) error { return run(ctx, does) })
	}
	var code rungroup.Error
	if errors.As(err, &code) {
		return C.int(code)
	}
	return 0
}

func main() {}
