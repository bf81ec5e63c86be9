#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rungroup.h"

// What rg_drive_next says, by value: Go allocates what C is given a pointer to.
typedef struct {
	int kind;
	int64_t value;
} go_step;

static inline go_step go_next(rg_group *group) {
	go_step step = {0, 0};
	step.kind = rg_drive_next(group, &step.value);
	return step;
}

// What a call answered, and why it refused, to be freed: the thread that has the
// reason may be another goroutine's after the call.
typedef struct {
	int code;
	char *reason;
} go_answer;

static inline go_answer go_answered(int code) {
	go_answer answer = {code, code < 0 ? strdup(rg_last_error()) : NULL};
	return answer;
}

static inline go_answer go_add(rg_group *group, const char *name) { return go_answered(rg_drive_add(group, name)); }

static inline go_answer go_add_signals(rg_group *group, const int *signals, size_t count) {
	return go_answered(rg_add_signals(group, signals, count));
}

static inline go_answer go_begin(rg_group *group) { return go_answered(rg_drive_begin(group)); }

// See callbacks.c.
int go_observe_group(rg_group *group, uintptr_t handle);
go_answer go_host_add(rg_group *group, const char *name, uintptr_t handle);
