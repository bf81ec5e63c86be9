/* Threads and descriptors that can't be had: nothing starts, nothing leaks, and
 * the group runs once they can be had again (rule 2). */
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <sys/resource.h>

#define ACTORS 4

/* ---- pthread_create that fails when told to ---------------------------------- */

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static int calls_left = -1; /* until the failure; negative: never fails */
static int fails_on;        /* whether all later calls fail as well */
static rg_group *stopped;   /* just before the failure; may be NULL */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*start)(void *), void *argument) {
    int left = __sync_fetch_and_sub(&calls_left, 1);
    if (left == 0 || (left < 0 && fails_on)) {
        if (stopped != NULL)
            CHECK_INT(rg_stop(stopped, 9), 0);
        return EAGAIN;
    }
    create_fn create;
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof create);
    return create(thread, attributes, start, argument);
}

static void fail_at(int call, int and_on) {
    calls_left = call;
    fails_on = and_on;
}

static void fail_never(void) {
    calls_left = -1;
    fails_on = 0;
}

/* ---- a group of every kind of actor -------------------------------------------- */

static int executed, interrupted, released;

static int execute(void *userdata) {
    (void)userdata;
    __sync_fetch_and_add(&executed, 1);
    return 7;
}

static void interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    __sync_fetch_and_add(&interrupted, 1);
}

static void start(rg_completion *done, void *userdata) {
    __sync_fetch_and_add(&executed, 1);
    rg_complete(done, execute(userdata), NULL);
}

static rg_group *make_group(int grace) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, grace), 0);
    int signal = SIGUSR1;
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    CHECK_INT(rg_add_async(group, "async", start, interrupt, &released, count_release),
              0);
    for (int i = 0; i < ACTORS; i++) {
        rg_actor actor;
        memset(&actor, 0, sizeof actor);
        actor.size = sizeof actor;
        actor.execute = execute;
        actor.interrupt = interrupt;
        actor.userdata = &released;
        actor.release = count_release;
        CHECK_INT(rg_add_actor(group, &actor), 0);
    }
    return group;
}

static int disposition_is_default(void) {
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    return action.sa_handler == SIG_DFL;
}

static int run(rg_group *group, int by_start) {
    if (!by_start)
        return rg_run(group);
    int code = rg_start(group);
    if (code == 0)
        CHECK_INT(rg_wait(group, -1, &code), 1);
    return code;
}

/* Fails at the given call, then again, then works. True: that call was made. */
static int once(int call, int grace, int by_start) {
    executed = interrupted = released = 0;
    rg_group *group = make_group(grace);
    for (int attempt = 0; attempt < 2; attempt++) {
        fail_at(call, attempt);
        int code = run(group, by_start);
        int made = calls_left < 0;
        fail_never();
        if (code == 7 && !made) {
            rg_free(group);
            return 0;
        }
        CHECK_INT(code, RG_ESPAWN);
        CHECK_INT(executed, 0);
        CHECK_INT(interrupted, 0);
        CHECK_INT(released, 0);
        CHECK_INT(rg_stopping(group), 0);
        CHECK(rg_get_cause(group) == NULL);
        CHECK(disposition_is_default());
        CHECK_INT(report_of(group, 0).state, RG_STATE_ADDED);
        await_threads(1);
    }
    CHECK_INT(run(group, by_start), 7);
    CHECK_INT(executed, ACTORS + 2);
    CHECK_INT(interrupted, ACTORS + 1);
    rg_free(group);
    CHECK_INT(released, ACTORS + 1);
    await_threads(1);
    return 1;
}

static void every_call(void) {
    for (int by_start = 0; by_start < 2; by_start++) {
        for (int grace = -1; grace < 20000; grace += 10001) {
            int call = 0;
            while (once(call, grace, by_start))
                call++;
            /* The actors', the signals', two that interrupt, one that drives. */
            CHECK_INT(call, ACTORS + 1 + 2 * (grace >= 0) + by_start);
        }
    }
}

static void freed_after_failure(void) {
    for (int call = 0; call < ACTORS + 2; call++) {
        released = executed = 0;
        rg_group *group = make_group(1000);
        fail_at(call, 0);
        CHECK_INT(rg_run(group), RG_ESPAWN);
        fail_never();
        rg_free(group);
        CHECK_INT(released, ACTORS + 1);
        CHECK_INT(executed, 0);
        await_threads(1);
    }
}

/* After a start that failed, actors may be added, as before it. */
static void more_are_added(void) {
    enum { ROUNDS = 40 };
    for (int by_start = 0; by_start < 2; by_start++) {
        executed = interrupted = released = 0;
        rg_group *group = make_group(-1);
        for (int round = 0; round < ROUNDS; round++) {
            fail_at(0, 0);
            CHECK_INT(run(group, by_start), RG_ESPAWN);
            fail_never();
            CHECK_INT(rg_add(group, execute, interrupt, NULL), 0);
            CHECK_INT(
                rg_add_async(group, NULL, start, interrupt, &released, count_release), 0);
        }
        CHECK_INT(executed, 0);
        CHECK_INT(run(group, by_start), 7);
        CHECK_INT(executed, ACTORS + 2 + 3 * ROUNDS);
        CHECK_INT(interrupted, ACTORS + 1 + 2 * ROUNDS);
        rg_free(group);
        CHECK_INT(released, ACTORS + 1 + ROUNDS);
        await_threads(1);
    }
}

static void nothing_leaks(void) {
    int before_fds = 0;
    size_t before = 0;
    for (int round = 0; round < 210; round++) {
        if (round == 10) { /* warm */
            before = mallinfo2().uordblks;
            before_fds = descriptors();
        }
        freed_after_failure();
        once(round % 6, round % 2 ? 1000 : -1, round % 3 == 0);
    }
    size_t after = mallinfo2().uordblks;
    /* 200 rounds of 7 groups; the C library's own caches come and go. */
    CHECK(after <= before + 32768);
    CHECK_INT(descriptors(), before_fds);
}

/* ---- what is observed of it -------------------------------------------------------- */

static int events[7], first_event;

static void count_event(const rg_event *event, void *userdata) {
    (void)userdata;
    CHECK(event->kind >= 0 && event->kind < 7);
    if (first_event < 0)
        first_event = event->kind;
    events[event->kind]++;
}

/* Notices events that are kept from a start that failed and told in the next run: of
 * what never began nothing is told, and then everything once. */
static void nothing_is_observed(void) {
    const int wanted[7] = {ACTORS + 2, ACTORS + 2, 1, ACTORS + 2, ACTORS + 2, 0, 1};
    for (int by_start = 0; by_start < 2; by_start++) {
        rg_group *group = make_group(-1);
        CHECK_INT(rg_set_observer(group, count_event, NULL), 0);
        memset(events, 0, sizeof events);
        first_event = -1;
        for (int call = 0; call < ACTORS + 1; call++) {
            fail_at(call, call % 2);
            CHECK_INT(run(group, by_start), RG_ESPAWN);
            fail_never();
            CHECK_INT(first_event, -1);
        }
        CHECK_INT(run(group, by_start), 7);
        rg_free(group);
        CHECK_INT(first_event, RG_EVENT_STARTED);
        for (int kind = 0; kind < 7; kind++)
            CHECK_INT(events[kind], wanted[kind]);
        await_threads(1);
    }
}

static rg_group *observed_group(void) {
    rg_group *group = make_group(-1);
    CHECK_INT(rg_set_observer(group, count_event, NULL), 0);
    memset(events, 0, sizeof events);
    executed = interrupted = 0;
    return group;
}

/* Nor of a stop that came while it failed: the next run is told as that of a group
 * that was stopped before it ran. */
static void a_stop_is_not_kept(void) {
    int wanted[7];
    rg_group *group = observed_group();
    CHECK_INT(rg_stop(group, 9), 0);
    CHECK_INT(rg_run(group), 9);
    rg_free(group);
    memcpy(wanted, events, sizeof wanted);
    for (int by_start = 0; by_start < 2; by_start++)
        for (int call = 0; call < ACTORS + 1; call++) {
            group = stopped = observed_group();
            fail_at(call, 0);
            int code = run(group, by_start);
            stopped = NULL;
            fail_never();
            if (code == RG_ESPAWN)
                code = run(group, by_start);
            CHECK_INT(code, 9);
            CHECK_INT(executed + interrupted, 0);
            for (int kind = 0; kind < 7; kind++)
                CHECK_INT(events[kind], wanted[kind]);
            rg_free(group);
            await_threads(1);
        }
}

/* ---- no thread left when the group stops ------------------------------------------ */

static gate held = GATE_INIT;

static int stop_without_threads(void *userdata) {
    (void)userdata;
    fail_at(0, 1);
    return 7;
}

static void hold(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_await(&held, 1);
}

static void let_go(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_pass(&held);
}

/* The first interrupt blocks until the second is called. */
static void interrupts_without_threads(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 300), 0);
    CHECK_INT(rg_add(group, stop_without_threads, hold, NULL), 0);
    CHECK_INT(rg_add(group, until_stop, let_go, group), 0);
    CHECK_INT(rg_run(group), 7);
    fail_never();
    rg_free(group);
    await_threads(1);
}

/* ---- the real limit ------------------------------------------------------------------
 */

static void limited(void) {
    if (getuid() == 0 && (setgid(65533) != 0 || setuid(65533) != 0))
        _exit(77);
    struct rlimit limit, low;
    CHECK_INT(getrlimit(RLIMIT_NPROC, &limit), 0);
    low = limit;
    low.rlim_cur = 4;
    CHECK_INT(setrlimit(RLIMIT_NPROC, &low), 0);
    executed = released = 0;
    rg_group *group = make_group(-1);
    for (int attempt = 0; attempt < 3; attempt++) {
        int code = rg_run(group);
        if (attempt == 0 && code == 7)
            _exit(77); /* a kernel or a user to whom the limit does not apply */
        CHECK_INT(code, RG_ESPAWN);
        CHECK_INT(executed, 0);
        await_threads(1);
    }
    CHECK_INT(setrlimit(RLIMIT_NPROC, &limit), 0);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
    CHECK_INT(released, ACTORS + 1);
}

static void process_limit(void) {
    int status = in_child(limited);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        printf("spawn: RLIMIT_NPROC skipped: it does not bind this user\n");
    else
        CHECK_INT(WEXITSTATUS(status), 0);
}

/* ---- no descriptors ------------------------------------------------------------------
 */

static void few_descriptors(void) {
    struct rlimit limit, low;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    executed = released = 0;
    rg_group *group = make_group(-1);
    int lowest = dup(0), before = descriptors();
    CHECK_INT(close(lowest), 0);
    low = limit;
    low.rlim_cur = (rlim_t)lowest;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    /* A signal actor has its descriptor from when it is added: a run needs none. */
    const int signal = SIGUSR1;
    CHECK_INT(rg_add_signals(group, &signal, 1), RG_ENOMEM);
    CHECK_INT(rg_done_fd(group), RG_ENOMEM);
    CHECK_INT(rg_drive_fd(group), RG_ENOMEM);
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    await_threads(1);
    rg_free(group);
    CHECK_INT(released, ACTORS + 1);
    CHECK(disposition_is_default());
    CHECK(descriptors() < before);
}

static void descriptor_limit(void) { check_in_child(few_descriptors); }

int main(void) {
    watchdog(120);
    CASE(every_call);
    CASE(freed_after_failure);
    CASE(more_are_added);
    CASE(nothing_leaks);
    CASE(nothing_is_observed);
    CASE(a_stop_is_not_kept);
    CASE(interrupts_without_threads);
    CASE(process_limit);
    CASE(descriptor_limit);
    return finish("spawn");
}
