//go:build cgo

package rungroup

/*
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "rungroup.h"

// Each function here is one crossing from Go to C; the library's functions are
// combined as the package needs them.

// The events of an observed group, until Go fetches them.
typedef struct {
	rg_event *events;
	size_t count, room;
} go_log;

static void go_observe(const rg_event *event, void *userdata) {
	go_log *log = userdata;
	if (log->count == log->room) {
		size_t room = log->room ? 2 * log->room : 16;
		rg_event *larger = realloc(log->events, room * sizeof *larger);
		if (larger == NULL)
			return; // told less, rather than not running
		log->events = larger;
		log->room = room;
	}
	log->events[log->count++] = *event;
}

static void go_free(rg_group *group, go_log *log) {
	rg_free(group);
	if (log != NULL)
		free(log->events);
	free(log);
}

static rg_group *go_new(int order, int64_t grace_ms, int observed, go_log **log) {
	rg_group *group = rg_new();
	if (group == NULL)
		return NULL;
	if (order != RG_ORDER_ADDED)
		rg_set_order(group, order);
	if (grace_ms >= 0)
		rg_set_grace(group, grace_ms);
	if (observed) {
		*log = calloc(1, sizeof **log);
		if (*log == NULL) {
			rg_free(group);
			return NULL;
		}
		rg_set_observer(group, go_observe, *log);
	}
	return group;
}

// rg_summary without the text, which lives no longer than the group, and
// without pointers, which cgo would look at in every call.
typedef struct {
	int finished, code, stopping, cause_code;
	int64_t cause_index, started_ns, stopping_ns, end_ns, grace_ns;
	int order;
} go_summary;

// What is known of a group, and of its first actors.
static void go_snapshot(rg_group *group, go_summary *kept, rg_drive_record *records,
		size_t count) {
	rg_summary now = {.size = sizeof now};
	rg_get_summary(group, &now);
	*kept = (go_summary){.finished = now.finished, .code = now.code, .stopping = now.stopping,
		.cause_code = now.cause_code, .cause_index = now.cause_index,
		.started_ns = now.started_ns, .stopping_ns = now.stopping_ns,
		.end_ns = now.end_ns, .grace_ns = now.grace_ns, .order = now.order};
	rg_drive_records(group, records, count);
}

static int go_report(rg_group *group, const rg_drive_event *events, size_t count,
		int64_t now_ns, rg_step *next) {
	next->size = sizeof *next;
	return rg_drive_report(group, events, count, now_ns, next);
}

// Reports two arrays. If all is over and nobody else needs the group, keeps a
// snapshot of it and frees it.
static int go_report_last(rg_group *group, const rg_drive_event *interrupts, size_t interrupted,
		const rg_drive_event *events, size_t count, int64_t now_ns, rg_step *next,
		go_summary *summary, rg_drive_record *records, size_t actors) {
	int kind = 0;
	if (interrupted > 0)
		kind = rg_drive_report(group, interrupts, interrupted, now_ns, NULL);
	if (kind == 0)
		kind = go_report(group, events, count, now_ns, next);
	if (kind == RG_STEP_FINISH && next->stuck == 0) {
		go_snapshot(group, summary, records, actors);
		rg_free(group);
	}
	return kind;
}

// Reports one return, with its text.
static void go_return(rg_group *group, rg_drive_event event, const char *text) {
	if (event.kind == RG_EVENT_RETURNED)
		rg_drive_return(group, event.index, event.code, text);
	else
		rg_drive_interrupted(group, event.index, text);
}

static int go_begin(rg_group *group, size_t more, rg_step *next) {
	int error = more ? rg_drive_add_many(group, more) : 0;
	if (error == 0)
		error = rg_drive_begin(group);
	return error ? error : go_report(group, NULL, 0, 0, next);
}

// go_new and go_begin, for a group without a log; no group is left if that fails.
static rg_group *go_open(int order, int64_t grace_ms, size_t more, rg_step *next, int *kind) {
	rg_group *group = go_new(order, grace_ms, 0, NULL);
	*kind = group == NULL ? RG_ENOMEM : go_begin(group, more, next);
	if (*kind < 0) {
		rg_free(group);
		group = NULL;
	}
	return group;
}

typedef void (*go_handler)(int, siginfo_t *, void *);

enum { go_signals = 64 };

static go_handler go_handler_of(int number) {
	struct sigaction current;
	memset(&current, 0, sizeof current);
	sigaction(number, NULL, &current);
	return current.sa_sigaction;
}

// go_begin, and which signals the library listens for then: a bit each, from 1.
static int go_begin_shared(rg_group *group, rg_step *next, uint64_t *heard) {
	static _Atomic(go_handler) ours;
	go_handler before[go_signals + 1];
	for (int i = 1; i <= go_signals; i++)
		before[i] = go_handler_of(i);
	int kind = go_begin(group, 0, next);
	for (int i = 1; i <= go_signals; i++) {
		go_handler now = go_handler_of(i);
		if (now != before[i])
			ours = now;
		if (now != NULL && now == ours)
			*heard |= (uint64_t)1 << (i - 1);
	}
	return kind;
}

static int go_stop(rg_group *group, int code) {
	if (rg_get_cause(group) != NULL)
		return 0;
	rg_stop(group, code);
	return 1;
}

static char *go_format(const rg_summary *summary, const rg_actor_report *actors,
		size_t count, int format) {
	size_t length = rg_format_summary(summary, actors, count, format, NULL, 0) + 1;
	char *buffer = malloc(length);
	if (buffer != NULL)
		rg_format_summary(summary, actors, count, format, buffer, length);
	return buffer;
}
*/
import "C"

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// The library's errors.
const (
	ErrInvalid  Error = C.RG_EINVAL    // an argument is wrong; nothing was changed
	ErrState    Error = C.RG_ESTATE    // not now: the group runs or has run
	ErrMemory   Error = C.RG_ENOMEM    // no memory or no file descriptor is left
	ErrSpawn    Error = C.RG_ESPAWN    // a thread for an actor of C code could not be had
	ErrTimedOut Error = C.RG_ETIMEDOUT // the grace was over; see [StuckError]
	errPanic    Error = C.RG_EPANIC
)

// Error says what is wrong and what to do about it.
func (e Error) Error() string { return C.GoString(C.rg_strerror(C.int(e))) }

// Version is the library's.
func Version() string { return C.GoString(C.rg_version()) }

const (
	returned    = C.RG_EVENT_RETURNED
	interrupted = C.RG_EVENT_INTERRUPTED

	eventStarted      = C.RG_EVENT_STARTED
	eventStopping     = C.RG_EVENT_STOPPING
	eventInterrupting = C.RG_EVENT_INTERRUPTING
	eventStuck        = C.RG_EVENT_STUCK
	eventStopped      = C.RG_EVENT_STOPPED
)

func newEvent(kind, index, code int, nanos int64) event {
	return event{index: C.size_t(index), kind: C.int(kind), code: C.int(code), time_ns: C.int64_t(nanos)}
}

type (
	event   = C.rg_drive_event
	record  = C.rg_drive_record
	summary = C.go_summary
)

// native is the library's group. Its owner's lock is held for every call.
type native struct {
	group *C.rg_group
	log   *C.go_log
}

// settings are a group's.
type settings struct {
	order       Order
	graceMillis int64
	observed    bool
}

func (s settings) native() (order C.int, graceMillis C.int64_t, observed C.int) {
	if s.observed {
		observed = 1
	}
	return C.int(s.order), C.int64_t(s.graceMillis), observed
}

// open makes the library's group. It is freed by close, or when nobody can
// run it any more.
func open(with settings) (*native, error) {
	n := new(native)
	order, grace, observed := with.native()
	n.group = C.go_new(order, grace, observed, &n.log)
	if n.group == nil {
		return nil, ErrMemory
	}
	return n, nil
}

// openAndBegin is open, addMany and begin at once, for a group without a log.
func openAndBegin(with settings, count int, s *stepper) (*native, action, error) {
	order, grace, _ := with.native()
	group := C.go_open(order, grace, C.size_t(count), &s.next, &s.kind)
	first, err := outcome(s.kind)
	return &native{group: group}, first, err
}

func (n *native) freeWhenForgotten() { runtime.SetFinalizer(n, (*native).close) }

func (n *native) close() {
	if n.group == nil {
		return
	}
	C.go_free(n.group, n.log)
	n.group, n.log = nil, nil
}

// text is a C string in C memory; nil for "".
func cText(text string) *C.char {
	if text == "" {
		return nil
	}
	return C.CString(strings.ReplaceAll(text, "\x00", "\uFFFD"))
}

// cName is an actor's name in C memory; nil for "".
func cName(name string) (*C.char, error) {
	if strings.ContainsRune(name, 0) {
		return nil, ErrInvalid
	}
	return cText(name), nil
}

// chainSignals has signals that actors of C code's listen for seen by Go, too.
func (n *native) chainSignals() { C.rg_set_chain_signals(n.group, 1) }

func (n *native) add(name string) error {
	given, err := cName(name)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(given))
	return failure(C.rg_drive_add(n.group, given))
}

func (n *native) addMany(count int) error {
	return failure(C.rg_drive_add_many(n.group, C.size_t(count)))
}

func (n *native) count() int { return int(C.rg_actor_count(n.group)) }

func failure(code C.int) error {
	if code == C.RG_OK {
		return nil
	}
	return Error(code)
}

// stop reports whether it was this call that stopped the group.
func (n *native) stop(code int) bool { return C.go_stop(n.group, C.int(code)) == 1 }

func (n *native) stopping() bool { return C.rg_stopping(n.group) == 1 }

// wakes is a descriptor, the group's own, that is readable when the library has
// something new to say.
func (n *native) wakes() (int, error) {
	fd := C.rg_drive_fd(n.group)
	if fd < 0 {
		return -1, Error(fd)
	}
	return int(fd), nil
}

// stepper is where the library puts what to do next.
type stepper struct {
	next C.rg_step
	kind C.int
}

// action is what to do.
type action int

const (
	interruptRow action = C.RG_STEP_INTERRUPT
	wait         action = C.RG_STEP_WAIT
	finish       action = C.RG_STEP_FINISH
)

// row is actors to interrupt one after another.
type row struct{ at, by, left int }

// next takes an actor from the row, before its interrupt is called: that may
// never come back.
func (r *row) next() int {
	index := r.at
	r.at += r.by
	r.left--
	return index
}

func (s *stepper) row() row {
	first, last := int(s.next.first), int(s.next.last)
	if last < first {
		return row{first, -1, first - last + 1}
	}
	return row{first, 1, last - first + 1}
}
func (s *stepper) waitNanos() int64 { return int64(s.next.wait_ns) }
func (s *stepper) returns() int     { return int(s.next.returns) }
func (s *stepper) stuck() bool      { return s.next.stuck > 0 }
func (s *stepper) cause() (index int, code int) {
	return int(s.next.cause_index), int(s.next.code)
}

func (n *native) begin(s *stepper) (action, error) {
	return outcome(C.go_begin(n.group, 0, &s.next))
}

// beginShared also tells which signals the library's actors listen for.
func (n *native) beginShared(s *stepper) (first action, heard []os.Signal, err error) {
	var bits C.uint64_t
	first, err = outcome(C.go_begin_shared(n.group, &s.next, &bits))
	for number := 1; number <= C.go_signals; number++ {
		if bits>>(number-1)&1 == 1 {
			heard = append(heard, syscall.Signal(number))
		}
	}
	return first, heard, err
}

// report tells what happened, and asks what is next.
func (n *native) report(events []event, now int64, s *stepper) (action, error) {
	return outcome(C.go_report(n.group, unsafe.SliceData(events), C.size_t(len(events)), C.int64_t(now), &s.next))
}

// reportLast besides takes a snapshot and closes, if all is over.
func (n *native) reportLast(interrupts, events []event, now int64, s *stepper, kept *Report) (action, error) {
	kind := C.go_report_last(n.group, unsafe.SliceData(interrupts), C.size_t(len(interrupts)),
		unsafe.SliceData(events), C.size_t(len(events)), C.int64_t(now), &s.next,
		&kept.summary, unsafe.SliceData(kept.records), C.size_t(len(kept.records)))
	if action(kind) == finish && !s.stuck() {
		n.group = nil
	}
	return outcome(kind)
}

func outcome(kind C.int) (action, error) {
	if kind < 0 {
		return 0, Error(kind)
	}
	return action(kind), nil
}

// tell reports what happened, and no more.
func (n *native) tell(events []event, now int64) {
	C.rg_drive_report(n.group, unsafe.SliceData(events), C.size_t(len(events)), C.int64_t(now), nil)
}

// tellWith reports one return with its text.
func (n *native) tellWith(e event, text string) {
	said := cText(text)
	C.go_return(n.group, e, said)
	C.free(unsafe.Pointer(said))
}

// snapshot is what the library knows of the group and of its first actors. The
// cause's message is left to text.
func (n *native) snapshot(kept *Report) {
	C.go_snapshot(n.group, &kept.summary, unsafe.SliceData(kept.records), C.size_t(len(kept.records)))
}

// texts are the library's of an actor of C code.
func (n *native) texts(index int) (name, message, complaint string) {
	var report C.rg_actor_report
	report.size = C.sizeof_rg_actor_report
	if C.rg_get_report(n.group, C.size_t(index), &report) != C.RG_OK {
		return
	}
	return C.GoString(report.name), C.GoString(report.message), C.GoString(report.complaint)
}

// logged is one of the library's events.
type logged struct {
	kind, code, index int
	nanos             int64
}

// fetchLog gives the events since the last call, oldest first.
func (n *native) fetchLog() []logged {
	if n.log == nil || n.log.count == 0 {
		return nil
	}
	all := unsafe.Slice(n.log.events, n.log.count)
	events := make([]logged, len(all))
	for i, e := range all {
		events[i] = logged{int(e.kind), int(e.code), int(e.index), int64(e.time_ns)}
	}
	n.log.count = 0
	return events
}

// format has the library write a report that was kept.
func format(kept summary, message string, actors []ActorReport, records []record, trace bool) string {
	var all *C.rg_actor_report
	if len(actors) > 0 {
		all = (*C.rg_actor_report)(C.calloc(C.size_t(len(actors)), C.sizeof_rg_actor_report))
		defer C.free(unsafe.Pointer(all))
	}
	given := unsafe.Slice(all, len(actors))
	for i := range given {
		to, r := &given[i], records[i]
		to.size = C.sizeof_rg_actor_report
		to.name = cText(actors[i].Name)
		to.message = cText(actors[i].Message)
		to.complaint = cText(actors[i].Complaint)
		to.state, to.code, to.stuck = C.int(r.state), r.code, C.int(r.stuck)
		to.started_ns, to.returned_ns = kept.started_ns, r.returned_ns
		to.interrupting_ns, to.interrupted_ns = r.interrupting_ns, r.interrupted_ns
	}
	s := C.rg_summary{
		size: C.sizeof_rg_summary, finished: kept.finished, code: kept.code,
		stopping: kept.stopping, cause_code: kept.cause_code, cause_index: kept.cause_index,
		cause_message: cText(message), started_ns: kept.started_ns,
		stopping_ns: kept.stopping_ns, end_ns: kept.end_ns, grace_ns: kept.grace_ns, order: kept.order,
	}
	defer func() {
		for _, actor := range given {
			C.free(unsafe.Pointer(actor.name))
			C.free(unsafe.Pointer(actor.message))
			C.free(unsafe.Pointer(actor.complaint))
		}
		C.free(unsafe.Pointer(s.cause_message))
	}()
	kind := C.int(C.RG_FORMAT_TEXT)
	if trace {
		kind = C.RG_FORMAT_TRACE
	}
	made := C.go_format(&s, all, C.size_t(len(actors)), kind)
	defer C.free(unsafe.Pointer(made))
	return C.GoString(made)
}
