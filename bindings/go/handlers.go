//go:build cgo

package rungroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
)

// ContextHandler returns an actor, i.e. an execute and an interrupt function,
// that returns ctx.Err() when the context is cancelled.
func ContextHandler(ctx context.Context) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	execute = func() error {
		<-ctx.Done()
		return ctx.Err()
	}
	return execute, func(error) { cancel() }
}

// SignalHandler returns an actor, i.e. an execute and an interrupt function,
// that returns a [*SignalError] when the process receives one of the signals
// (any signal, if none are given), or ctx.Err() when the context is cancelled.
// It listens while it executes, by [signal.Notify].
func SignalHandler(ctx context.Context, signals ...os.Signal) (execute func() error, interrupt func(error)) {
	ctx, cancel := context.WithCancel(ctx)
	execute = func() error {
		received := make(chan os.Signal, 1)
		signal.Notify(received, signals...)
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

// ErrSignal is what errors.Is finds in the error of a [SignalHandler] that a
// signal has ended.
var ErrSignal = errors.New("signal error")

// SignalError is the error of a [SignalHandler] that a signal has ended. In a
// report its code is 128 plus the signal's number.
type SignalError struct {
	// Signal is the one that was received.
	Signal os.Signal
}

// Error says which signal came.
func (e SignalError) Error() string { return fmt.Sprintf("received signal %s", e.Signal) }

// Is is true for [ErrSignal].
func (e SignalError) Is(target error) bool { return target == ErrSignal }

// As fills a SignalError in, so that errors.As finds one by value, too.
func (e SignalError) As(target any) bool {
	if value, ok := target.(*SignalError); ok {
		*value = e
		return true
	}
	return false
}
