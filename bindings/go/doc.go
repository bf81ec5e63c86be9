// Package rungroup runs the components of a process as one group: they start together and
// stop together.
//
// Every component is an actor, a pair of functions: execute does the work, interrupt
// makes it return. All run at the same time; when the first returns, for whatever reason,
// every one is interrupted, in order, and [Group.Run] returns once all have returned,
// with the very error of the first:
//
//	var g rungroup.Group
//	g.Add(serve, func(error) { listener.Close() })
//	g.AddSignals()
//	err := g.Run()
//
// A program moves from github.com/oklog/run by importing run "rungroup" instead. Beyond
// that package, a group made by [New] can have a grace, after which Run returns and says
// what is stuck where ([StuckError]); Report tells what each actor did; and C code can
// add actors of its own (AddNative).
//
// # Differences from oklog/run
//
//   - A panic in an execute or an interrupt is printed at once, the others are stopped in
//     order, and then Run panics: what they hold is given back.
//   - An actor that calls [runtime.Goexit], as t.FailNow does, has returned with
//     [ErrExited]: there Run waits for ever. An interrupt that does so without a grace
//     also ends the goroutine in Run, once all actors have returned.
//   - A group runs once: a second Run returns [ErrState], since the report and Stopping
//     are of one run.
//   - A nil function and adding to a group that runs or has run panic in Add, with a
//     [*UsageError]: there the one fails in Run, the other does nothing.
//   - [SignalHandler] without signals listens for SIGINT and SIGTERM: all signals would
//     include SIGURG, by which Go's scheduler preempts goroutines.
//   - SignalHandler lets a signal that is ignored stay so: to listen for it would undo
//     nohup.
//   - AddSignals is beside SignalHandler, and listens from before the first execute to
//     the end of Run, so that a signal that comes early or twice does not kill. It is the
//     library's handler, and not [signal.Notify]'s: channels of that hear nothing
//     meanwhile.
//   - A typed nil error comes back from Run as it is, but its code in a report is 1,
//     unless its methods say another.
//   - A Group must not be copied once Run was called: it has a lock.
//   - The package needs cgo, since the rules are in the library. In a program with cgo
//     Go's runtime does not find that all goroutines are asleep: a group that nothing can
//     end waits for ever, where it would die of a deadlock.
//
// # How it works
//
// Rule numbers are those of the contract, docs/contract.md in the repository. The rules
// are in the library, written in Rust: Run carries out its steps in a loop, and the
// goroutines of actors post their returns. No thread waits for them. With a grace they
// have the label rungroup_actor in profiles (see runtime/pprof).
//
// The library is linked from an object file in internal/archive; with the build tag
// rungroup_musl from that for musl (Alpine), with rungroup_dynamic from an installed one,
// which pkg-config finds.
//
// In a bubble of testing/synctest the grace and the times of the report and the log are
// real ones. [SignalHandler] and the library's own actors do not belong there: signals
// and C code know nothing of the bubble's time.
package rungroup
