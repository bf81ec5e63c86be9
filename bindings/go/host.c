//go:build cgo

// What the library calls for actors of Go code in another program's group.

#include "_cgo_export.h"
#include "host.h"

static void start(rg_completion *done, void *userdata) { goHostStart(done, (uintptr_t)userdata); }

static void interrupt(const rg_cause *cause, void *userdata) {
	char *complaint =
		goHostInterrupt((char *)cause->actor, (char *)cause->message, cause->code, (uintptr_t)userdata);
	if (complaint != NULL)
		rg_fail(RG_EPANIC, complaint);
	free(complaint);
}

static void release(void *userdata) { goHostRelease((uintptr_t)userdata); }

int go_host_add(rg_group *group, const char *name, uintptr_t handle) {
	return rg_add_async(group, name, start, interrupt, (void *)handle, release);
}
