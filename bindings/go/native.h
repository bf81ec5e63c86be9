#pragma once

#include <stdint.h>
#include <stdlib.h>

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

// See callbacks.c.
int go_observe_group(rg_group *group, uintptr_t handle);
int go_host_add(rg_group *group, const char *name, uintptr_t handle);
