//go:build cgo

// The functions that the library calls, each with a Go function behind it.

#include <stdlib.h>

#include "_cgo_export.h"

static void observe(const rg_event *event, void *handle) { goObserve((rg_event *)event, (uintptr_t)handle); }
int go_observe_group(rg_group *group, uintptr_t handle) { return rg_set_observer(group, observe, (void *)handle); }

static void start(rg_completion *done, void *handle) { goHostStart(done, (uintptr_t)handle); }
static void release(void *handle) { goHostRelease((uintptr_t)handle); }
static void interrupt(const rg_cause *cause, void *handle) {
	char *said = goHostInterrupt((char *)cause->actor, (char *)cause->message, cause->code, (uintptr_t)handle);
	if (said != NULL)
		rg_fail(RG_EPANIC, said);
	free(said);
}

int go_host_add(rg_group *group, const char *name, uintptr_t handle) {
	return rg_add_async(group, name, start, interrupt, (void *)handle, release);
}
