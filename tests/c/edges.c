/* Observers that are slow, times of events, threads that are cancelled, release
 * functions that run groups, children of fork that stop them. */
#include "process.h"

#include <dlfcn.h>
#include <sys/wait.h>

/* ---- observers ------------------------------------------------------------------- */

static gate freedom = GATE_INIT, entered = GATE_INIT;
static int blocks_at, told, last_kind;

static void observe(const rg_event *event, void *userdata) {
    (void)userdata;
    told++;
    last_kind = event->kind;
    if (event->kind == blocks_at) {
        gate_pass(&entered);
        gate_await(&freedom, 1);
    }
}

static rg_group *observed(int64_t grace_ms) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, grace_ms), 0);
    CHECK_INT(rg_set_observer(group, observe, NULL), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    return group;
}

static int way;

/* It blocks in one event: the run ends in time, and nobody else is blamed. */
static void one_that_blocks(void) {
    enum { GRACE_MS = 100 };
    rg_group *group = observed(GRACE_MS);
    CHECK_INT(run_in(way, group), RG_ETIMEDOUT);
    gate_await(&entered, 1);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(report_of(group, i).state, RG_STATE_RETURNED);
        CHECK_INT(report_of(group, i).stuck, 0);
    }
    rg_summary summary = summary_of(group);
    CHECK_INT(summary.observer_stuck, 1);
    CHECK_INT(summary.cause_code, 7);
    CHECK(summary.end_ns - summary.stopping_ns >= GRACE_MS * MILLISECOND ||
          blocks_at == RG_EVENT_STOPPED);
    char text[2000];
    rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text);
    CHECK(strstr(text, "STUCK observer") != NULL);
    rg_free(group);
    int before = told;
    gate_pass(&freedom);
    await_threads(1);
    CHECK_INT(told, before); /* of what came after that it is not told */
}

static void observers_that_block(void) {
    const int kinds[] = {RG_EVENT_STARTED,      RG_EVENT_RETURNED,    RG_EVENT_STOPPING,
                         RG_EVENT_INTERRUPTING, RG_EVENT_INTERRUPTED, RG_EVENT_STOPPED};
    for (way = BY_RUN; way <= BY_START; way++)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            blocks_at = kinds[i];
            check_in_child(one_that_blocks);
        }
}

/* It is told everything, in order, whether there is a grace or not. */
static void observers_in_time(void) {
    blocks_at = -1;
    for (int round = 0; round < 2000; round++) {
        told = 0;
        rg_group *group = observed(round % 2 ? 60000 : -1);
        CHECK_INT(run_in(round % 4 / 2, group), 7);
        CHECK_INT(told, 4 * 2 + 2);
        CHECK_INT(last_kind, RG_EVENT_STOPPED);
        CHECK_INT(summary_of(group).observer_stuck, 0);
        rg_free(group);
    }
    await_threads(1);
}

/* ---- a call during the start --------------------------------------------------------
 */

static int over;

static void *add_until_over(void *group) {
    gate_pass(&entered);
    /* On a busy machine the run begins late, and every actor that was added by then
     * becomes a thread. */
    while (!__atomic_load_n(&over, __ATOMIC_SEQ_CST)) {
        if (rg_actor_count(group) < 1000) {
            int added = rg_add(group, return_seven, rg_interrupt_none, NULL);
            CHECK(added == 0 || added == RG_ESTATE);
        }
    }
    return NULL;
}

/* Whoever adds too late is refused, and holds nobody up. */
static void added_while_it_starts(void) {
    blocks_at = -1;
    gate none = GATE_INIT;
    entered = none;
    for (int round = 0; round < 50; round++) {
        rg_group *group = observed(60000);
        CHECK_INT(rg_add_signals(group, NULL, 0), 0);
        pthread_t adds;
        over = 0;
        CHECK_INT(pthread_create(&adds, NULL, add_until_over, group), 0);
        gate_await(&entered, round + 1);
        int code = rg_run(group);
        CHECK(code == 7 ||
              code == RG_ESPAWN); /* more may be added than threads are had */
        __atomic_store_n(&over, 1, __ATOMIC_SEQ_CST);
        pthread_join(adds, NULL);
        rg_free(group);
    }
    await_threads(1);
}

/* ---- pthread_cancel -------------------------------------------------------------- */

static pthread_t waiting;
static gate ready = GATE_INIT;
static int waits_in, came_back;

enum { IN_POLL, IN_WAIT_STOP, IN_WAIT, IN_RUN, WAITS };

static int waits(void *group) {
    waiting = pthread_self();
    rg_group *inner = rg_new();
    CHECK_INT(rg_add(inner, until_stop, rg_interrupt_none, group), 0);
    gate_pass(&ready);
    switch (waits_in) {
    case IN_POLL:
        CHECK_INT(rg_poll(group, NULL, 0, -1), 0);
        break;
    case IN_WAIT_STOP:
        CHECK_INT(rg_wait_stop(group, -1), 1);
        break;
    case IN_WAIT:
        CHECK_INT(rg_start(inner), 0);
        CHECK_INT(rg_wait(inner, -1, NULL), 1);
        break;
    default:
        CHECK_INT(rg_run(inner), 0);
    }
    rg_free(inner);
    came_back = 1;
    pthread_testcancel();
    CHECK(!"it was cancelled");
    return 0;
}

/* Nothing ends by it but what would have: it acts once the library is left. */
static void cancel_is_held_off(void) {
    for (waits_in = 0; waits_in < WAITS; waits_in++) {
        gate none = GATE_INIT;
        ready = none;
        came_back = 0;
        rg_group *group = rg_new();
        CHECK_INT(rg_add(group, waits, rg_interrupt_none, group), 0);
        CHECK_INT(rg_start(group), 0);
        gate_await(&ready, 1);
        CHECK_INT(pthread_cancel(waiting), 0);
        CHECK_INT(rg_stopping(group), 0);
        CHECK_INT(rg_stop(group, 3), 0);
        CHECK_INT(finished(group), 3);
        CHECK_INT(came_back, 1);
        CHECK_INT(report_of(group, 0).state, RG_STATE_PANICKED);
        rg_free(group);
    }
    await_threads(1);
}

/* ---- release functions ------------------------------------------------------------- */

static int releases;

static void run_again(void *group) {
    releases++;
    CHECK_INT(rg_run(group), RG_ESTATE);
    CHECK_INT(rg_start(group), RG_ESTATE);
    CHECK_INT(rg_drive_begin(group), RG_ESTATE);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), RG_ESTATE);
    CHECK_INT(rg_add_signals(group, NULL, 0), RG_ESTATE);
    CHECK_INT(rg_stop(group, 1), 0);
}

static void release_runs_nothing(void) {
    for (int run = 0; run < 2; run++) {
        rg_group *group = rg_new();
        rg_actor actor;
        memset(&actor, 0, sizeof actor);
        actor.size = sizeof actor;
        actor.execute = return_seven;
        actor.interrupt = rg_interrupt_none;
        actor.userdata = group;
        actor.release = run_again;
        CHECK_INT(rg_add_actor(group, &actor), 0);
        if (run)
            CHECK_INT(rg_run(group), 7);
        rg_free(group);
        CHECK_INT(releases, run + 1);
    }
}

/* ---- times ----------------------------------------------------------------------- */

static gate clock_read = GATE_INIT, may_post = GATE_INIT;
static __thread int holds_clock;

int clock_gettime(clockid_t clock, struct timespec *time) {
    int (*real)(clockid_t, struct timespec *);
    void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
    memcpy(&real, &symbol, sizeof real);
    int result = real(clock, time);
    if (holds_clock) {
        holds_clock = 0;
        gate_pass(&clock_read);
        gate_await(&may_post, 1);
    }
    return result;
}

static int64_t last_time;
static int backwards;

static void look_at_time(const rg_event *event, void *userdata) {
    (void)userdata;
    backwards += event->time_ns < last_time;
    last_time = event->time_ns;
}

static void *returns_late(void *group) {
    holds_clock = 1;
    CHECK_INT(rg_drive_return(group, 1, 0, NULL), 0);
    return NULL;
}

/* A thread reads the clock, and another is faster with what happens later. */
static void times_run_forwards(void) {
    rg_group *group = rg_new();
    pthread_t late;
    int64_t value;
    CHECK_INT(rg_set_observer(group, look_at_time, NULL), 0);
    for (int i = 0; i < 2; i++)
        CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_drive_next(group, &value), RG_STEP_WAIT);
    CHECK_INT(rg_drive_return(group, 0, 7, NULL), RG_DRIVE_WAKE);
    CHECK_INT(pthread_create(&late, NULL, returns_late, group), 0);
    gate_await(&clock_read, 1);
    CHECK_INT(rg_drive_next(group, &value), RG_STEP_INTERRUPT);
    gate_pass(&may_post);
    pthread_join(late, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(value, i);
        CHECK_INT(rg_drive_interrupted(group, i, NULL), 0);
        CHECK_INT(rg_drive_next(group, &value),
                  i == 0 ? RG_STEP_INTERRUPT : RG_STEP_FINISH);
    }
    CHECK_INT(backwards, 0);
    rg_free(group);
}

/* ---- children of fork ---------------------------------------------------------------
 */

static int is_readable(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
}

static int forks(void *group) {
    int fd = rg_stop_fd(group);
    pid_t child = fork();
    if (child == 0)
        _exit(rg_stop(group, 3) == RG_ESTATE ? 0 : 1);
    int status = 1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(is_readable(fd), 0);
    CHECK_INT(rg_stopping(group), 0);
    return 7;
}

static void child_cannot_stop_it(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, forks, rg_interrupt_none, group), 0);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
}

static rg_group *made_before;

static void run_in_child(void) {
    CHECK_INT(rg_add(made_before, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(made_before), 7);
    rg_free(made_before);
}

/* A daemon forks between the two. */
static void made_before_the_fork(void) {
    made_before = rg_new();
    check_in_child(run_in_child);
    rg_free(made_before);
}

int main(void) {
    watchdog(120);
    CASE(observers_that_block);
    CASE(observers_in_time);
    CASE(added_while_it_starts);
    CASE(cancel_is_held_off);
    CASE(release_runs_nothing);
    CASE(times_run_forwards);
    CASE(child_cannot_stop_it);
    CASE(made_before_the_fork);
    return finish("edges");
}
