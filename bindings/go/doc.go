// Package rungroup runs the components of a process as one group: they start
// together and stop together.
//
// Every component is an actor, a pair of functions: execute does the work,
// interrupt makes it return. All run at the same time; when the first returns,
// for whatever reason, every one is interrupted, in order, and [Group.Run]
// returns once all have returned, with the very error of the first:
//
//	var g rungroup.Group
//	g.Add(serve, func(error) { listener.Close() })
//	g.Add(rungroup.SignalHandler(context.Background(), os.Interrupt))
//	err := g.Run()
//
// [Group.Add], [Group.Run], [ContextHandler], [SignalHandler], [SignalError] and
// [ErrSignal] are those of github.com/oklog/run: a program moves by importing
// run "rungroup" instead. Beyond them, a group made by [New] can have a grace,
// after which Run returns whatever is stuck, and names it ([StuckError]); a panic
// is the actor's error ([PanicError]) and stops the others in order;
// [Group.Report] tells what each actor did; and C code can add actors of its own
// to the same group ([Group.AddNative]).
//
// # Differences from oklog/run
//
//   - A group runs once: a second Run returns [ErrState].
//   - A nil execute or interrupt, a bad name, and adding to a group that runs or
//     has run are panics of the Add functions, with a [*UsageError].
//   - A panic in an execute does not kill the process; Run returns it. One in
//     an interrupt is kept for the report, and the next interrupt follows.
//   - An actor that calls [runtime.Goexit], as t.FailNow does, has returned with
//     [ErrExited]. An interrupt that does so without a grace also ends the
//     goroutine that called Run, once all actors have returned.
//   - A Group must not be copied after first use.
//
// # How it works
//
// Rule numbers in this documentation are those of the contract in the README of
// the repository. The rules themselves are in the library, written in Rust;
// this package brings it what happens, and carries out what it says next.
// Actors are goroutines; no thread waits for them, and no call blocks in C.
//
// In a bubble of testing/synctest a group does what it does elsewhere, but its
// grace and the times of its report and log are real ones. [SignalHandler] and
// actors of C code do not belong there: Go's signals do not work in a bubble, and
// the bubble's time stands still for C code.
//
// The package needs cgo.
package rungroup
