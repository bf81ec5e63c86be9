/* Calls of threads outside of the group that are still going on when it is freed: a
 * group that somebody is in a call of lives until that call has returned. Freed memory
 * is overwritten here; valgrind sees the rest.
 *
 *     outside [ROUNDS] */
#include "check.h"

#include <dlfcn.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int rounds = 1000;

/* ---- who is in a call ----------------------------------------------------------------
 */

/* Of the thread: its next wait in the library is told. */
static __thread int watched;
static int inside;

static void tell(void) {
    if (watched)
        __sync_lock_test_and_set(&inside, 1);
}

/* And after each wait, and each wake-up of others, it takes its time, until the group
 * is freed or was not for a while. Whoever frees it does not. */
static volatile int freed;
static __thread int frees;

static void take_time(void) {
    if (!watched || frees)
        return;
    int64_t until = now_ns() + 2 * 1000 * 1000;
    while (!freed && now_ns() < until)
        sched_yield();
}

static void await_inside(void) {
    while (!__sync_fetch_and_add(&inside, 0))
        sched_yield();
    __sync_lock_release(&inside);
}

typedef long (*syscall_fn)(long, ...);

long syscall(long number, ...) {
    static syscall_fn real;
    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "syscall");
        memcpy(&real, &symbol, sizeof symbol);
    }
    long given[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(more, long);
    va_end(more);
    int operation = (int)given[1] & FUTEX_CMD_MASK;
    if (number == SYS_futex &&
        (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET))
        tell();
    long result =
        real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
    if (number == SYS_futex)
        take_time();
    return result;
}

ssize_t write(int fd, const void *buffer, size_t size) {
    struct iovec part;
    memcpy(&part.iov_base, &buffer, sizeof buffer);
    part.iov_len = size;
    ssize_t result = writev(fd, &part, 1);
    take_time();
    return result;
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
    struct timespec time = {timeout / 1000, timeout % 1000 * 1000000};
    tell();
    int result = ppoll(fds, count, timeout < 0 ? NULL : &time, NULL);
    take_time();
    return result;
}

/* ---- rg_stop, which ends the run ------------------------------------------------------
 */

static rg_group *volatile current;
static volatile int quit, acted;

static void *stop_current(void *unused) {
    while (!quit) {
        rg_group *group = __sync_lock_test_and_set(&current, NULL);
        if (group == NULL) {
            sched_yield();
            continue;
        }
        watched = 1;
        CHECK_INT(rg_stop(group, 1), 0);
        watched = 0;
        acted = 1;
    }
    return unused;
}

static void stop_against_free(void) {
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, stop_current, NULL), 0);
    for (int round = 0; round < rounds; round++) {
        rg_group *group = rg_new();
        if (round % 2)
            CHECK(rg_stop_fd(group) >= 0);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        acted = freed = 0;
        __sync_synchronize();
        current = group;
        CHECK_INT(rg_run(group), 1);
        rg_free(group);
        freed = 1;
        while (!acted)
            sched_yield();
    }
    quit = 1;
    pthread_join(thread, NULL);
}

/* ---- calls that wait
 * -------------------------------------------------------------------
 */

static int (*call)(rg_group *group);

static void *make_call(void *group) {
    watched = 1;
    int result = call(group);
    watched = 0;
    CHECK_INT(result, 1);
    return NULL;
}

/* Freed as soon as this thread knows that the run is over. */
static void against_free(int (*of)(rg_group *)) {
    call = of;
    for (int round = 0; round < rounds / 4; round++) {
        rg_group *group = rg_new();
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        freed = 0;
        CHECK_INT(rg_start(group), 0);
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, make_call, group), 0);
        await_inside();
        CHECK_INT(rg_stop(group, 5), 0);
        int code = 0;
        CHECK_INT(rg_wait(group, -1, &code), 1);
        rg_free(group);
        freed = 1;
        CHECK_INT(code, 5);
        pthread_join(thread, NULL);
    }
}

/* Notices an rg_wait that has no share in the group: whoever frees it as soon as its
 * own rg_wait has returned takes it from under another. */
static int wait_for_end(rg_group *group) {
    int code = 0;
    int result = rg_wait(group, -1, &code);
    CHECK_INT(code, 5);
    return result;
}

static int wait_for_end_in_time(rg_group *group) {
    int code = 0;
    int result = rg_wait(group, 60000, &code);
    CHECK_INT(code, 5);
    return result;
}

static int wait_for_stop(rg_group *group) { return rg_wait_stop(group, -1); }
static int wait_for_stop_in_time(rg_group *group) { return rg_wait_stop(group, 60000); }
static int poll_for_stop(rg_group *group) { return rg_poll(group, NULL, 0, -1) + 1; }

static void wait_against_free(void) {
    against_free(wait_for_end);
    against_free(wait_for_end_in_time);
}

static void wait_stop_against_free(void) {
    against_free(wait_for_stop);
    against_free(wait_for_stop_in_time);
}

static void poll_against_free(void) { against_free(poll_for_stop); }

/* ---- the last step of a host that drives --------------------------------------------
 */

static void *wait_and_free(void *group) {
    int code = 0;
    watched = frees = 1;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 7);
    rg_free(group);
    freed = 1;
    return NULL;
}

/* Freed by another thread as soon as the step says that the run is over. */
static void last_step_against_free(void) {
    for (int round = 0; round < rounds / 4; round++) {
        rg_group *group = rg_new();
        CHECK_INT(rg_drive_add(group, NULL), 0);
        if (round % 2)
            CHECK(rg_done_fd(group) >= 0);
        CHECK_INT(rg_drive_begin(group), 0);
        freed = 0;
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, wait_and_free, group), 0);
        CHECK(rg_drive_return(group, 0, 7, NULL) >= 0);
        int64_t value = -1;
        CHECK_INT(rg_drive_next(group, &value), RG_STEP_INTERRUPT);
        CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
        await_inside();
        watched = 1;
        CHECK_INT(rg_drive_next(group, &value), RG_STEP_FINISH);
        watched = 0;
        CHECK_INT(value, 7);
        pthread_join(thread, NULL);
    }
}

int main(int count, char **arguments) {
    if (count > 1)
        rounds = atoi(arguments[1]);
    mallopt(M_PERTURB, 0xA5);
    watchdog(240);
    CASE(stop_against_free);
    CASE(wait_against_free);
    CASE(wait_stop_against_free);
    CASE(poll_against_free);
    CASE(last_step_against_free);
    await_threads(1);
    return finish("outside");
}
