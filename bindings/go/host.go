//go:build cgo

package rungroup

// #include "rungroup.h"
// int go_host_add(rg_group *group, const char *name, uintptr_t handle);
import "C"

import (
	"context"
	"runtime/cgo"
	"unsafe"
)

// Host is a group of the program that loaded this code, made in whatever
// language: for plugins built with -buildmode=c-shared, which add actors. What
// these return reaches the host as a code and a text. A process can hold one Go
// runtime only, so a Go program cannot load such a plugin.
type Host struct{ group *C.rg_group }

// HostOf returns the group behind a rg_group * that the host has passed;
// [ErrInvalid] for nil; an [Error] for a handle of an incompatible copy of the
// library. The host must not free the group as long as the Host is used.
func HostOf(group unsafe.Pointer) (*Host, error) {
	h := &Host{(*C.rg_group)(group)}
	if code := C.rg_stopping(h.group); code < 0 {
		return nil, Error(code)
	}
	return h, nil
}

// Add adds an actor, like AddNamed of [Group]. The error that interrupt is given
// is an [*ActorError], or nil after a clean end. Of the error that execute returns
// the host sees the text and a code: that of its Code or ExitCode method, or 1.
//
// It returns a [*UsageError] if a function is nil, the name bad, or if the group
// runs or has run ([ErrState]).
func (h *Host) Add(name string, execute func() error, interrupt func(error)) error {
	text, err := cName(name)
	if err == nil {
		err = checkFunctions(execute, interrupt)
	}
	if err != nil {
		return &UsageError{"Host.Add", name, err}
	}
	handle := cgo.NewHandle(&guest{name, execute, interrupt})
	if err := ask(func() C.int { return C.go_host_add(h.group, text, C.uintptr_t(handle)) }); err != nil {
		handle.Delete() // refused: it is still ours (rule 13)
		return &UsageError{"Host.Add", name, err}
	}
	return nil
}

// AddContext is Add for an actor whose context, a child of the parent, is
// cancelled when it is to return.
func (h *Host) AddContext(parent context.Context, name string, execute func(context.Context) error) error {
	run, interrupt, err := contextActor(parent, execute)
	if err != nil {
		return &UsageError{"Host.AddContext", name, err}
	}
	return h.Add(name, run, interrupt)
}

// Stopping is whether the group has begun to stop (rule 5).
func (h *Host) Stopping() bool { return C.rg_stopping(h.group) == 1 }

// guest is an actor in another program's group.
type guest struct {
	name      string
	execute   func() error
	interrupt func(error)
}

// call calls a function of the actor's in a goroutine, and hands then what
// became of it, however it ends (rule 12).
func (a *guest) call(function func() error, then func(error)) {
	go func() {
		var err error = ErrExited
		defer func() {
			if value := recover(); value != nil {
				err = newPanicError(a.name, value)
			}
			then(err)
		}()
		err = function()
	}()
}

//export goHostStart
func goHostStart(done *C.rg_completion, handle C.uintptr_t) {
	a := cgo.Handle(handle).Value().(*guest)
	a.call(a.execute, func(err error) { C.rg_complete(done, C.int(codeOf(err)), cText(message(err))) })
}

// goHostInterrupt returns what went wrong in the interrupt, for the caller to
// free, or NULL.
//
//export goHostInterrupt
func goHostInterrupt(actor, said *C.char, code C.int, handle C.uintptr_t) *C.char {
	a := cgo.Handle(handle).Value().(*guest)
	var cause error
	if code != 0 {
		cause = &ActorError{Actor: C.GoString(actor), Message: C.GoString(said), code: int(code)}
	}
	ended := make(chan error)
	a.call(func() error { a.interrupt(cause); return nil }, func(err error) { ended <- err })
	if err := <-ended; err != nil {
		return C.CString(message(err))
	}
	return nil
}

//export goHostRelease
func goHostRelease(handle C.uintptr_t) { cgo.Handle(handle).Delete() }
