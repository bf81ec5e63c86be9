/* The library's functions, from a copy that is loaded at run time. */
#ifndef LOAD_H
#define LOAD_H

#include "check.h"

#include <dlfcn.h>

typedef struct library {
    void *handle;
    rg_group *(*make)(void);
    int (*add)(rg_group *, rg_execute_fn, rg_interrupt_fn, void *);
    int (*add_actor)(rg_group *, const rg_actor *);
    int (*add_async)(rg_group *, const char *, rg_start_fn, rg_interrupt_fn, void *,
                     rg_release_fn);
    int (*add_signals)(rg_group *, const int *, size_t);
    int (*complete)(rg_completion *, int, const char *);
    int (*set_grace)(rg_group *, int64_t);
    int (*start)(rg_group *);
    int (*run)(rg_group *);
    int (*wait)(rg_group *, int64_t, int *);
    int (*stop)(rg_group *, int);
    int (*wait_stop)(const rg_group *, int64_t);
    int (*fail)(int, const char *);
    const rg_cause *(*get_cause)(const rg_group *);
    int (*get_report)(const rg_group *, size_t, rg_actor_report *);
    rg_interrupt_fn interrupt_none;
    void (*free)(rg_group *);
} library;

/* ISO C has no cast from an object's address to a function's. */
#define LOAD(library, member, symbol)                                                    \
    do {                                                                                 \
        void *address = dlsym((library)->handle, symbol);                                \
        CHECK(address != NULL);                                                          \
        memcpy(&(library)->member, &address, sizeof address);                            \
    } while (0)

static inline library load(const char *path) {
    library loaded;
    memset(&loaded, 0, sizeof loaded);
    loaded.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (loaded.handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(loaded.handle != NULL);
    LOAD(&loaded, make, "rg_new");
    LOAD(&loaded, add, "rg_add");
    LOAD(&loaded, add_actor, "rg_add_actor");
    LOAD(&loaded, add_async, "rg_add_async");
    LOAD(&loaded, add_signals, "rg_add_signals");
    LOAD(&loaded, complete, "rg_complete");
    LOAD(&loaded, set_grace, "rg_set_grace");
    LOAD(&loaded, start, "rg_start");
    LOAD(&loaded, run, "rg_run");
    LOAD(&loaded, wait, "rg_wait");
    LOAD(&loaded, stop, "rg_stop");
    LOAD(&loaded, wait_stop, "rg_wait_stop");
    LOAD(&loaded, fail, "rg_fail");
    LOAD(&loaded, get_cause, "rg_get_cause");
    LOAD(&loaded, get_report, "rg_get_report");
    LOAD(&loaded, interrupt_none, "rg_interrupt_none");
    LOAD(&loaded, free, "rg_free");
    return loaded;
}

#endif
