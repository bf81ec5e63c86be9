//go:build cgo

// Package ctest has C actors, for the tests: a test file cannot contain C.
package ctest

/*
#cgo rungroup_dynamic pkg-config: rungroup
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../../rungroup.h"

typedef struct {
	rg_group *group;
	int code, waits;
	char message[64];
} actor;

static int execute(void *userdata) {
	actor *self = userdata;
	if (self->waits == 1)
		rg_wait_stop(self->group, -1);
	while (self->waits == 2)
		rg_wait_stop(self->group, 10);
	return self->message[0] ? rg_fail(self->code, self->message) : self->code;
}

static char last_cause[128];

static void interrupt(const rg_cause *cause, void *userdata) {
	(void)userdata;
	strncpy(last_cause, cause->actor ? cause->actor : "outside", 60);
	strcat(last_cause, ": ");
	strncat(last_cause, cause->message, 60);
}

static const char *get_last_cause(void) { return last_cause; }

static int released;

static void release(void *userdata) {
	free(userdata);
	__atomic_fetch_add(&released, 1, __ATOMIC_SEQ_CST);
}

static int count_released(void) { return __atomic_load_n(&released, __ATOMIC_SEQ_CST); }

static int add(void *group, const char *name, int waits, int code, const char *message) {
	actor *self = calloc(1, sizeof *self);
	self->group = group;
	self->waits = waits;
	self->code = code;
	strncpy(self->message, message, sizeof self->message - 1);
	rg_actor made;
	memset(&made, 0, sizeof made);
	made.size = sizeof made;
	made.name = name;
	made.execute = execute;
	made.interrupt = interrupt;
	made.release = release;
	made.userdata = self;
	int error = rg_add_actor(group, &made);
	if (error != 0)
		free(self);
	return error;
}

static void complete_at_once(rg_completion *done, void *code) {
	rg_complete(done, (int)(intptr_t)code, "at once");
}

static int add_done(void *group, const char *name, int code) {
	return rg_add_async(group, name, complete_at_once, rg_interrupt_none, (void *)(intptr_t)code, NULL);
}

static int flags(int number) {
	struct sigaction current;
	return sigaction(number, NULL, &current) == 0 ? current.sa_flags : -1;
}

static int on_stack(void) { return SA_ONSTACK; }
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// What an actor of [Add] does before it returns.
const (
	Returns = iota
	WaitsForStop
	Hangs
)

func failure(code C.int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("code %d", int(code))
}

// Add adds an actor that runs on a thread of its own.
func Add(group unsafe.Pointer, name string, waits, code int, message string) error {
	cName, cMessage := C.CString(name), C.CString(message)
	defer C.free(unsafe.Pointer(cName))
	defer C.free(unsafe.Pointer(cMessage))
	return failure(C.add(group, cName, C.int(waits), C.int(code), cMessage))
}

// AddDone adds an actor that has returned before the run's begin is over.
func AddDone(group unsafe.Pointer, name string, code int) error {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	return failure(C.add_done(group, cName, C.int(code)))
}

// AddSignals adds the library's signal actor.
func AddSignals(group unsafe.Pointer, signals ...int) error {
	numbers := make([]C.int, len(signals))
	for i, number := range signals {
		numbers[i] = C.int(number)
	}
	return failure(C.rg_add_signals((*C.rg_group)(group), unsafe.SliceData(numbers), C.size_t(len(numbers))))
}

// Stop is rg_stop.
func Stop(group unsafe.Pointer, code int) { C.rg_stop((*C.rg_group)(group), C.int(code)) }

// Stopping is rg_stopping.
func Stopping(group unsafe.Pointer) bool { return C.rg_stopping((*C.rg_group)(group)) == 1 }

// LastCause is what the last interrupt was told: the actor and its message.
func LastCause() string { return C.GoString(C.get_last_cause()) }

// Released counts the releases.
func Released() int { return int(C.count_released()) }

// OnAlternateStack is whether the signal's handler has SA_ONSTACK.
func OnAlternateStack(number int) bool { return C.flags(C.int(number))&C.on_stack() != 0 }
