//go:build cgo

package rungroup

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ContextHandler returns an actor, i.e. an execute and an interrupt function,
// that returns ctx.Err() when the context is cancelled.
func ContextHandler(ctx context.Context) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	return func() error { <-ctx.Done(); return ctx.Err() }, func(error) { cancel() }
}

// SignalHandler returns an actor, i.e. an execute and an interrupt function,
// that returns a [*SignalError] when the process receives one of the signals, or
// ctx.Err() when the context is cancelled. None given means SIGINT and SIGTERM.
// It listens while it executes, by [signal.Notify]; an ignored signal stays
// ignored (nohup). AddSignals is for a listener that goes on to the end.
func SignalHandler(ctx context.Context, signals ...os.Signal) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	if len(signals) == 0 {
		// To Notify it means all: also SIGURG, by which Go's scheduler preempts
		// goroutines, so that a busy program would end by itself.
		signals = []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	execute = func() error {
		received := make(chan os.Signal, 1)
		for _, sig := range signals {
			if !signal.Ignored(sig) { // Notify would undo that.
				signal.Notify(received, sig)
			}
		}
		defer signal.Stop(received)
		select {
		case sig := <-received:
			return &SignalError{Signal: sig}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return execute, func(error) { cancel() }
}

// ErrSignal is what errors.Is finds in every [*SignalError].
var ErrSignal = errors.New("signal error")

// SignalError is the error of an actor of [SignalHandler] or AddSignals that a
// signal has ended.
type SignalError struct{ Signal os.Signal }

// Error says which signal came. Without fmt's formats, for which the actor's
// goroutine would need a larger stack, just when the group is to stop.
func (e SignalError) Error() string {
	if e.Signal == nil {
		return "received signal <nil>"
	}
	return "received signal " + e.Signal.String()
}

const signalCode = 128 // what the code of a signal is counted from, as in shells

// Code is 128 plus the signal's number, as shells show it.
func (e SignalError) Code() int {
	number, _ := e.Signal.(syscall.Signal)
	return signalCode + int(number)
}

// Is is true for [ErrSignal].
func (e SignalError) Is(target error) bool { return target == ErrSignal }

// As fills a SignalError in, so that errors.As finds one by value, too.
func (e SignalError) As(target any) bool {
	value, ok := target.(*SignalError)
	if ok {
		*value = e
	}
	return ok
}
