//go:build cgo

package rungroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Error is one of the library's own errors; its text says what to do about it.
type Error int

// ErrExited is the error of an actor whose goroutine ended without returning,
// by [runtime.Goexit].
var ErrExited = errors.New("the actor left its goroutine without returning (runtime.Goexit)")

// UsageError is what the Add functions panic with: nothing was added.
type UsageError struct {
	// Op is the function's name.
	Op string
	// Actor is the name of the actor, "" if none was given.
	Actor string
	// Err is an [Error], or says which argument is wrong.
	Err error
}

// Error names the function, the actor and the remedy.
func (e *UsageError) Error() string {
	if e.Actor == "" {
		return fmt.Sprintf("rungroup: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("rungroup: %s %q: %v", e.Op, e.Actor, e.Err)
}

// Unwrap gives Err.
func (e *UsageError) Unwrap() error { return e.Err }

// nilFunction is an argument that must not be nil.
type nilFunction string

func (e nilFunction) Error() string {
	return string(e) + " is nil: a group could not run, or not stop, such an actor"
}

// Is makes it an [ErrInvalid].
func (e nilFunction) Is(target error) bool { return target == ErrInvalid }

// PanicError is the error of an actor whose execute panicked (rule 12).
type PanicError struct {
	// Actor is the actor's name.
	Actor string
	// Value is what panic was called with.
	Value any
	// Stack is the goroutine's stack at the panic, as [debug.Stack] gives it.
	Stack []byte
}

// Error names the actor and the value; the stack is in the field.
func (e *PanicError) Error() string { return fmt.Sprintf("actor %q panicked: %v", e.Actor, e.Value) }

// Unwrap gives the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// ActorError is what [Group.Run] returns when an actor that C code added, or a
// stop by C code, ended the group with another code than 0.
type ActorError struct {
	// Actor is the actor's name; "": stopped from outside.
	Actor string
	// Message is what it said of it, or "".
	Message string
	code    int
}

// Code is what the actor returned.
func (e *ActorError) Code() int { return e.code }

// Error names the actor, its code and its message.
func (e *ActorError) Error() string {
	who := "the group was stopped"
	if e.Actor != "" {
		who = fmt.Sprintf("actor %q ended the group", e.Actor)
	}
	if e.Message == "" {
		return fmt.Sprintf("%s with code %d", who, e.code)
	}
	return fmt.Sprintf("%s with code %d: %s", who, e.code, e.Message)
}

// StuckActor is one that had not returned when the grace was over.
type StuckActor struct {
	// Index is the actor's, in order of addition.
	Index int
	// Name is the actor's name.
	Name string
	// Execute and Interrupt say what has not returned.
	Execute, Interrupt bool
	// ExecuteStack and InterruptStack are the stacks of their goroutines when
	// the grace was over; "" for an actor that C code added.
	ExecuteStack, InterruptStack string
}

// StuckError is what [Group.Run] returns when the grace is over and some actors
// have not returned (rule 10). What these still use must live on: leave the
// process by [os.Exit].
type StuckError struct {
	// Actors are the stuck ones, in order of addition.
	Actors []StuckActor
	// Cause is the error that ended the group; it may be nil.
	Cause error
}

// Error names the stuck actors, and says which of their functions is stuck and
// where.
func (e *StuckError) Error() string {
	var text strings.Builder
	text.WriteString("the grace was over, and these had not returned:")
	for i, actor := range e.Actors {
		if i > 0 {
			text.WriteByte(',')
		}
		what := "execute"
		if actor.Interrupt {
			what = "interrupt"
			if actor.Execute {
				what = "execute and interrupt"
			}
		}
		fmt.Fprintf(&text, " %q (%s)", actor.Name, what)
	}
	if e.Cause != nil {
		fmt.Fprintf(&text, "; the group was ended by: %v", e.Cause)
	}
	return text.String()
}

// Unwrap gives the cause.
func (e *StuckError) Unwrap() error { return e.Cause }

// Is makes it an [ErrTimedOut].
func (e *StuckError) Is(target error) bool { return target == ErrTimedOut }

// Code is [ErrTimedOut]'s.
func (e *StuckError) Code() int { return int(ErrTimedOut) }

// codeOf is the code under which the library knows an error: that of its Code
// or ExitCode method, 128 plus its number for a signal, otherwise 1.
func codeOf(err error) int {
	switch err := err.(type) {
	case nil:
		return 0
	case *PanicError:
		return int(errPanic)
	case interface{ Code() int }:
		return err.Code()
	case interface{ ExitCode() int }:
		return err.ExitCode()
	case *SignalError:
		return signalCode(err.Signal)
	case SignalError:
		return signalCode(err.Signal)
	}
	if err == ErrExited {
		return int(errPanic)
	}
	return 1
}

func signalCode(sig os.Signal) int {
	number, _ := sig.(syscall.Signal)
	return 128 + int(number)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
