/* Forks at the very moment when another thread is inside a call that the library
 * makes: whatever it holds there, the child has groups of its own (signals,
 * grace and stuck actors), and the parent's go on. */
#include "check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

static const char *function;
static const char *volatile holding = ""; /* it; only its first call */
static gate inside = GATE_INIT, go_on = GATE_INIT;

static void pass(const char *function) {
    if (strcmp(holding, function) != 0)
        return;
    holding = "";
    gate_pass(&inside);
    gate_await(&go_on, 1);
}

#define CATCH(type, name, parameters, arguments)                                         \
    type name parameters {                                                               \
        static __typeof__(&name) real;                                                   \
        void *symbol = dlsym(RTLD_NEXT, #name);                                          \
        memcpy(&real, &symbol, sizeof real);                                             \
        pass(#name);                                                                     \
        return real arguments;                                                           \
    }

CATCH(int, pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end))
CATCH(int, pthread_tryjoin_np, (pthread_t thread, void **result), (thread, result))
CATCH(int, sigaction,
      (int signal, const struct sigaction *action, struct sigaction *before),
      (signal, action, before))
CATCH(int, eventfd, (unsigned value, int flags), (value, flags))
CATCH(int, munmap, (void *at, size_t size), (at, size))
CATCH(ssize_t, write, (int fd, const void *buffer, size_t size), (fd, buffer, size))
CATCH(int, madvise, (void *at, size_t size, int advice), (at, size, advice))
CATCH(int, pthread_create,
      (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
       void *userdata),
      (thread, attributes, start, userdata))

int open(const char *path, int flags, ...) {
    static __typeof__(&open) real;
    void *symbol = dlsym(RTLD_NEXT, "open");
    memcpy(&real, &symbol, sizeof real);
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    pass("open");
    return real(path, flags, mode);
}

static int without_groups; /* so many threads are there */

static int raises(void *group) {
    raise(SIGUSR1);
    rg_wait_stop(group, -1);
    return 0;
}

static void by_signal(void) {
    int signal = SIGUSR1;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 20000), 0);
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    CHECK_INT(rg_add(group, raises, rg_interrupt_none, group), 0);
    CHECK_INT(rg_run(group), 128 + SIGUSR1);
    rg_free(group);
}

static int sticks(void *freedom) {
    gate_await(freedom, 1);
    return 0;
}

/* More stacks than the slab that is kept has: that one is unmapped. */
static void stuck(int others) {
    gate freedom = GATE_INIT;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 1), 0);
    CHECK_INT(rg_add(group, sticks, rg_interrupt_none, &freedom), 0);
    for (int i = 0; i < others; i++)
        CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    rg_free(group);
    gate_pass(&freedom);
    await_threads(without_groups); /* it uses what is on this stack */
}

static void *groups(void *unused) {
    (void)unused;
    if (without_groups == 2)
        running_case = holding = function;
    for (int round = 1; round < 4; round++) {
        by_signal();
        stuck(round * 2);
    }
    return NULL;
}

static void child(void) {
    without_groups = 1;
    await_threads(1);
    groups(NULL);
    by_signal();
}

static void caught(void) {
    pthread_t thread;
    without_groups = 2;
    CHECK_INT(pthread_create(&thread, NULL, groups, NULL), 0);
    gate_await(&inside, 1);
    check_in_child(child);
    gate_pass(&go_on);
    pthread_join(thread, NULL);
    child();
}

int main(void) {
    static const char *const functions[] = {"pthread_key_create",
                                            "pthread_create",
                                            "pthread_tryjoin_np",
                                            "sigaction",
                                            "eventfd",
                                            "munmap",
                                            "madvise",
                                            "open",
                                            "write"};
    watchdog(60);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        function = functions[i];
        check_in_child(caught);
        cases_passed++;
    }
    return finish("fork");
}
