//go:build cgo

// The functions that the library calls, each with a Go function behind it.

#include "_cgo_export.h"
#include "native.h"

static void observe(const rg_event *event, void *handle) { goObserve((rg_event *)event, (uintptr_t)handle); }

int go_observe_group(rg_group *group, uintptr_t handle) { return rg_set_observer(group, observe, (void *)handle); }

static void start(rg_completion *done, void *handle) { goHostStart(done, (uintptr_t)handle); }

static void interrupt(const rg_cause *cause, void *handle) {
	char *complaint =
		goHostInterrupt((char *)cause->actor, (char *)cause->message, cause->code, (uintptr_t)handle);
	if (complaint != NULL)
		rg_fail(RG_EPANIC, complaint);
	free(complaint);
}

static void release(void *handle) { goHostRelease((uintptr_t)handle); }

int go_host_add(rg_group *group, const char *name, uintptr_t handle) {
	return rg_add_async(group, name, start, interrupt, (void *)handle, release);
}
