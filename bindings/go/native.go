//go:build cgo

package rungroup

// #include "rungroup.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Version returns the library's version, "0.1.0" say.
func Version() string { return C.GoString(C.rg_version()) }

// ask calls a function of the library. Its error has the reason, which the library keeps
// for the thread that called.
func ask(call func() C.int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code := call()
	if code >= 0 {
		return nil
	}
	// "rg_add_signals: signal 9 (SIGKILL) cannot be caught"; without a reason it is
	// the code's sentence.
	if function, reason, found := strings.Cut(C.GoString(C.rg_last_error()), ": "); found && strings.HasPrefix(function, "rg_") {
		return &reasoned{Error(code), reason}
	}
	return Error(code)
}

// library is the library's group. It is an object of its own, without a way
// back to the [Group]: a finalizer does not run on a part of a cycle, and the
// functions of actors usually refer to their group.
type library struct {
	group *C.rg_group
	value C.int64_t // of the last step, for the goroutine in Run
	// Makes the object larger, so that 64 of them share a span of Go's memory and not
	// 512: SetFinalizer walks through the finalizers of the whole span.
	_ [112]byte
}

func newLibrary(order Order, graced bool, grace time.Duration) (*library, error) {
	group := C.rg_new()
	if group == nil {
		return nil, ErrMemory
	}
	l := &library{group: group}
	runtime.SetFinalizer(l, (*library).free)
	if graced {
		C.rg_set_grace(group, C.int64_t((grace+time.Millisecond-1)/time.Millisecond))
	}
	if order != OrderAdded && C.rg_set_order(group, C.int(order)) != C.RG_OK {
		return nil, ErrInvalid
	}
	return l, nil
}

// free gives the group back. Goroutines that are stuck may still post to it.
func (l *library) free() {
	runtime.SetFinalizer(l, nil)
	C.rg_free(l.group)
}

// cText is a text in Go's memory that C may read during a call; nil for "".
func cText(text string) *C.char {
	if text == "" {
		return nil
	}
	text = strings.ReplaceAll(text, "\x00", "\uFFFD") + "\x00"
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text)))
}

// cName is [cText] for the name of an actor, which cannot contain a NUL.
func cName(name string) (*C.char, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return nil, &reasoned{ErrInvalid, "the name has a NUL"}
	}
	return cText(name), nil
}

func (l *library) add(name string) error {
	text, err := cName(name)
	if err == nil {
		err = ask(func() C.int { return C.rg_drive_add(l.group, text) })
	}
	runtime.KeepAlive(l)
	return err
}

// chain sets whether signal actors added from now on hand signals on to Go.
func (l *library) chain(on bool) error {
	return ask(func() C.int { return C.rg_set_chain_signals(l.group, map[bool]C.int{true: 1}[on]) })
}

func (l *library) addSignals(signals []C.int) error {
	return ask(func() C.int { return C.rg_add_signals(l.group, unsafe.SliceData(signals), C.size_t(len(signals))) })
}

func (l *library) addSystemd() error { return ask(func() C.int { return C.rg_add_systemd(l.group) }) }
func (l *library) begin() error      { return ask(func() C.int { return C.rg_drive_begin(l.group) }) }
func (l *library) count() int        { return int(C.rg_actor_count(l.group)) }
func (l *library) stop(code int)     { C.rg_stop(l.group, C.int(code)) }
func (l *library) stopping() bool    { return C.rg_stopping(l.group) == 1 }

// Steps, which are what Run does next.
const (
	stepInterrupt = C.RG_STEP_INTERRUPT // the value is the index of the actor
	stepWait      = C.RG_STEP_WAIT      // so many nanoseconds; -1: without a limit
	stepFinish    = C.RG_STEP_FINISH    // the value is the run's code
)

// next is the next step, and sets its value. The pointer into l keeps l alive meanwhile.
func (l *library) next() int {
	step := C.rg_drive_next(l.group, &l.value)
	if step < 0 {
		panic("rungroup: rg_drive_next: " + Error(step).Error())
	}
	return int(step)
}

// returned posts the return of an execute, and reports whether to wake Run.
func (l *library) returned(index, code int, message string) (wake bool) {
	return l.posted(C.rg_drive_return(l.group, C.size_t(index), C.int(code), cText(message)))
}

// interrupted posts the return of an interrupt, and reports whether to wake Run.
func (l *library) interrupted(index int, complaint string) (wake bool) {
	return l.posted(C.rg_drive_interrupted(l.group, C.size_t(index), cText(complaint)))
}

func (l *library) posted(bits C.int) (wake bool) {
	runtime.KeepAlive(l)
	return bits > 0 && bits&C.RG_DRIVE_WAKE != 0
}

// cause is the actor that ended the group, -1 for a stop, and its code.
func (l *library) cause() (index, code int, ok bool) {
	cause := C.rg_get_cause(l.group)
	if cause == nil {
		return -1, 0, false
	}
	index, code = int(cause.index), int(cause.code)
	runtime.KeepAlive(l)
	return index, code, true
}

// news is readable when next has something new to say; to be closed.
func (l *library) news() (*os.File, error) {
	fd := C.rg_drive_fd(l.group)
	if fd < 0 {
		return nil, Error(fd)
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := syscall.Dup(int(fd))
	if err != nil {
		return nil, ErrMemory
	}
	syscall.CloseOnExec(own)
	return os.NewFile(uintptr(own), "rungroup"), nil
}

// sleep waits so long on the library's clock, or until there is news.
func (l *library) sleep(limit time.Duration) {
	millis := min(limit.Milliseconds()+1, 1<<30)
	news := C.struct_pollfd{fd: C.rg_drive_fd(l.group), events: C.POLLIN}
	C.poll(&news, 1, C.int(millis))
	runtime.KeepAlive(l)
}

func signalNumbers(signals []os.Signal) ([]C.int, error) {
	var numbers []C.int
	for _, sig := range signals {
		number, ok := sig.(syscall.Signal)
		if !ok {
			return nil, &reasoned{ErrInvalid, fmt.Sprintf("%v is not a signal of the system's", sig)}
		}
		numbers = append(numbers, C.int(number))
	}
	return numbers, nil
}

func listens() (signals []os.Signal) {
	for number := C.int(1); number <= 64; number++ {
		if C.rg_listens(number) == 1 {
			signals = append(signals, syscall.Signal(number))
		}
	}
	return signals
}

func (l *library) actor(index int) ActorReport {
	r := C.rg_actor_report{size: C.sizeof_rg_actor_report}
	C.rg_get_report(l.group, C.size_t(index), &r)
	report := ActorReport{
		Name: C.GoString(r.name), State: State(r.state), Code: int(r.code),
		Message: C.GoString(r.message), Complaint: C.GoString(r.complaint),
		StuckExecute: r.stuck&C.RG_STUCK_EXECUTE != 0, StuckInterrupt: r.stuck&C.RG_STUCK_INTERRUPT != 0,
		StuckThread: r.stuck&C.RG_STUCK_THREAD != 0,
		Started:     time.Duration(r.started_ns), Returned: time.Duration(r.returned_ns),
		Interrupting: time.Duration(r.interrupting_ns), Interrupted: time.Duration(r.interrupted_ns),
	}
	runtime.KeepAlive(l)
	return report
}

func (l *library) summary() *Report {
	s := C.rg_summary{size: C.sizeof_rg_summary}
	C.rg_get_summary(l.group, &s)
	return &Report{
		Code: int(s.code), Finished: s.finished != 0, Stopped: s.stopping != 0,
		Cause: int(s.cause_index), CauseCode: int(s.cause_code), Message: C.GoString(s.cause_message),
		StoppingAfter: time.Duration(s.stopping_ns), Duration: time.Duration(s.end_ns),
		text: l.format(C.RG_FORMAT_TEXT), trace: l.format(C.RG_FORMAT_TRACE),
	}
}

func (l *library) format(format C.int) string {
	const grows = 1 << 10 // what may be added while the group runs
	buffer := make([]byte, C.rg_format_report(l.group, format, nil, 0)+grows)
	length := C.rg_format_report(l.group, format, (*C.char)(unsafe.Pointer(&buffer[0])), C.size_t(len(buffer)))
	runtime.KeepAlive(l)
	return string(buffer[:min(int(length), len(buffer)-1)])
}
