//go:build cgo

package rungroup

// #include "rungroup.h"
import "C"

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Error is one of the library's own errors; its text says what to do about it.
type Error int

const (
	ErrInvalid  Error = C.RG_EINVAL    // an argument is wrong; nothing was changed
	ErrState    Error = C.RG_ESTATE    // too late: the group runs or has run
	ErrMemory   Error = C.RG_ENOMEM    // no memory or no file descriptor is left
	ErrSpawn    Error = C.RG_ESPAWN    // a thread for an actor of C code could not be had
	ErrTimedOut Error = C.RG_ETIMEDOUT // the grace was over; see [StuckError]
	ErrExited   Error = C.RG_EPANIC    // an actor left its goroutine by [runtime.Goexit] (rule 12)
)

// Error says what is wrong and what to do about it.
func (e Error) Error() string {
	switch e {
	case ErrInvalid:
		return "an argument is invalid: nil, a name that has a NUL, is not UTF-8 or is longer than 255 bytes, an unknown order, or a signal that cannot be caught"
	case ErrState:
		return "the group runs or has run: a group runs once, and everything is added before Run"
	case ErrTimedOut:
		return "the grace was over and some actors had not returned"
	case ErrExited:
		return "the actor left its goroutine without returning (runtime.Goexit)"
	}
	return C.GoString(C.rg_strerror(C.int(e)))
}

// Code is the error's number in C.
func (e Error) Code() int { return int(e) }

// UsageError is what the Add functions panic with: nothing was added (rule 14).
type UsageError struct {
	Op    string // the function's name
	Actor string // the actor's name, "" if none was given
	Err   error  // an [Error], or wraps one and says which argument is wrong
}

// Error names the function, the actor and the remedy.
func (e *UsageError) Error() string { return fmt.Sprintf("rungroup: %s %q: %v", e.Op, e.Actor, e.Err) }

// Unwrap returns Err.
func (e *UsageError) Unwrap() error { return e.Err }

func nilArgument(name string) error {
	return &reasoned{ErrInvalid, name + " is nil: a group could not run, or not stop, such an actor"}
}

// reasoned is an [Error] whose text says what exactly was wrong.
type reasoned struct {
	kind   Error
	reason string
}

func (e *reasoned) Error() string { return e.reason }
func (e *reasoned) Unwrap() error { return e.kind }

// PanicError is a panic in an execute, an interrupt (rule 12) or a log handler, with
// which [Group.Run] panics. With %+v, and in logs of log/slog, it has the stack.
type PanicError struct {
	Actor string // the actor's name; "" for the handler of a logger
	Value any    // what panic was called with
	Stack []byte // the goroutine's stack at the panic, as debug.Stack returns it
}

// Error names the actor and the value.
func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.where(), e.Value) }

func (e *PanicError) where() string {
	if e.Actor == "" {
		return "log handler"
	}
	return fmt.Sprintf("actor %q", e.Actor)
}

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Code is the code of a panic in a report.
func (e *PanicError) Code() int { return int(ErrExited) }

// Format is for package fmt: %+v adds the stack.
func (e *PanicError) Format(f fmt.State, verb rune) {
	io.WriteString(f, e.Error())
	if verb == 'v' && f.Flag('+') {
		io.WriteString(f, "\n\n"+string(e.Stack))
	}
}

// LogValue is for package log/slog: a group of the text and the stack.
func (e *PanicError) LogValue() slog.Value {
	return slog.GroupValue(slog.String("message", e.Error()), slog.String("stack", string(e.Stack)))
}

// ActorError is what [Group.Run] returns when an actor that C code added, or a
// stop by C code, ended the group with another code than 0.
type ActorError struct {
	Actor   string // the actor's name; "": stopped from outside
	Message string // what the actor said, or ""
	code    int
}

// Code is what the actor returned.
func (e *ActorError) Code() int { return e.code }

// Error names the actor, its code and its message.
func (e *ActorError) Error() string {
	text := fmt.Sprintf("actor %q ended the group with code %d", e.Actor, e.code)
	if e.Actor == "" {
		text = fmt.Sprintf("the group was stopped with code %d", e.code)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// StuckError is what [Group.Run] returns when the grace is over and some actors have not
// ended (rule 10). What these still use must live on: leave the process by [os.Exit].
type StuckError struct {
	Actors []ActorReport // the stuck ones, in order of addition
	Cause  error         // the error that ended the group; it may be nil
}

// Error names the stuck actors, which of their functions is stuck, and where.
func (e *StuckError) Error() string {
	var stuck []string
	for _, actor := range e.Actors {
		var parts []string
		if actor.StuckExecute {
			parts = append(parts, "execute"+where(actor.ExecuteStack))
		}
		if actor.StuckInterrupt {
			parts = append(parts, "interrupt"+where(actor.InterruptStack))
		}
		if actor.StuckThread {
			parts = append(parts, "the end of its thread")
		}
		stuck = append(stuck, fmt.Sprintf("%q (%s)", actor.Name, strings.Join(parts, "; ")))
	}
	text := "the grace was over, and these had not returned: " + strings.Join(stuck, ", ")
	if e.Cause != nil {
		text += fmt.Sprintf("; the group was ended by: %v", e.Cause)
	}
	return text
}

// Unwrap returns the cause.
func (e *StuckError) Unwrap() error { return e.Cause }

// Is makes it an [ErrTimedOut].
func (e *StuckError) Is(target error) bool { return target == ErrTimedOut }

// Code is the code of [ErrTimedOut].
func (e *StuckError) Code() int { return int(ErrTimedOut) }

// codeOf is the code under which the library and C code know an error: that of
// the first method Code or ExitCode in its chain, otherwise 1; 0 for nil.
func codeOf(err error) (code int) {
	if err == nil {
		return 0
	}
	code = 1
	defer func() { _ = recover() }() // a method of a typed nil panics, for example
	if found, ok := findCode(err); ok {
		code = found
	}
	return code
}

// findCode is errors.As for two methods, which costs an actor's goroutine more
// stack than it has at first.
func findCode(err error) (code int, found bool) {
	switch err := err.(type) {
	case interface{ Code() int }:
		return err.Code(), true
	case interface{ ExitCode() int }:
		return err.ExitCode(), true
	case interface{ Unwrap() error }:
		return findCode(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			if code, found := findCode(one); found {
				return code, true
			}
		}
	}
	return 0, false
}

// message is an error's text for a report, which names the actor itself.
func message(err error) (text string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			text = fmt.Sprint(err) // which survives that
		}
	}()
	if panicked, ok := err.(*PanicError); ok {
		return fmt.Sprint(panicked.Value)
	} else if err == ErrExited {
		return "runtime.Goexit"
	}
	return err.Error()
}
