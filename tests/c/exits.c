/* Ends that are not returns: rg_exit while somebody holds what it flushes, and callbacks
 * that leave their thread by pthread_exit. */
#include "process.h"

#include <fcntl.h>

static gate freedom = GATE_INIT, released = GATE_INIT;

/* ---- rg_exit with a pipe that nobody reads ------------------------------------------
 */

static int out[2];

static int print_for_ever(void *userdata) {
    (void)userdata;
    for (;;)
        printf("a line of a server's log, for a reader that has stalled\n");
    return 0;
}

static void fill_pipe(void) {
    char zeroes[4096] = "";
    CHECK_INT(fcntl(out[1], F_SETFL, O_NONBLOCK), 0);
    while (write(out[1], zeroes, sizeof zeroes) > 0 || write(out[1], zeroes, 1) > 0) {
    }
    CHECK_INT(fcntl(out[1], F_SETFL, 0), 0);
}

static int end_once_full(void *userdata) {
    (void)userdata;
    struct pollfd pipe = {out[1], POLLOUT, 0};
    while (poll(&pipe, 1, 0) != 0)
        sched_yield();
    return 3;
}

static int stay(void *userdata) {
    (void)userdata;
    gate_await(&freedom, 1);
    return 0;
}

static void exit_after(rg_execute_fn execute) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 50), 0);
    add_released(group, NULL, execute, rg_interrupt_none, NULL, NULL);
    add_released(group, NULL, end_once_full, rg_interrupt_none, NULL, NULL);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    rg_exit(33);
}

static void stuck_in_printf(void) {
    dup2(out[1], 1);
    exit_after(print_for_ever);
}

static void stuck_in_stderr(void) {
    dup2(out[1], 2);
    fill_pipe();
    setvbuf(stderr, NULL, _IOFBF, 4096);
    fputs("not flushed", stderr);
    exit_after(stay);
}

static int lock_stdout(void *userdata) {
    flockfile(stdout);
    fill_pipe();
    return stay(userdata);
}

static void stuck_with_the_lock(void) { exit_after(lock_stdout); }

static void text_that_nobody_reads(void) {
    dup2(out[1], 1);
    fill_pipe();
    setvbuf(stdout, NULL, _IOFBF, 4096);
    fputs("not flushed", stdout);
    exit_after(stay);
}

static void exit_ends_the_process(void) {
    void (*const ways_to_stick[])(void) = {stuck_in_printf, stuck_with_the_lock,
                                           text_that_nobody_reads, stuck_in_stderr};
    for (size_t i = 0; i < sizeof ways_to_stick / sizeof *ways_to_stick; i++) {
        CHECK_INT(pipe(out), 0);
        int64_t began = now_ns();
        int status = in_child(ways_to_stick[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 33)
            fprintf(stderr, "way %zu: wait status 0x%x\n", i, (unsigned)status);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 33);
        CHECK(now_ns() - began < 10000 * MILLISECOND);
        close(out[0]);
        close(out[1]);
    }
}

/* ---- pthread_exit in other callbacks than an execute ------------------------------- */

static int interrupted, started;

static void exit_in_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    pthread_exit(NULL);
}

static void count_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    __sync_fetch_and_add(&interrupted, 1);
}

static void *run_on_thread(void *group) {
    rg_run(group);
    return NULL;
}

static void *start_on_thread(void *group) {
    CHECK_INT(rg_start(group), 0);
    return NULL;
}

static void *free_on_thread(void *group) {
    rg_free(group);
    return NULL;
}

static void on_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, function, argument), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

static int run_on_another, with_grace;

/* The thread that runs it may be gone; whoever waits is told even so. */
static int code_of(rg_group *group) {
    on_thread(run_on_another ? run_on_thread : start_on_thread, group);
    return finished(group);
}

static rg_group *with_settings(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, with_grace ? 60000 : -1), 0);
    return group;
}

static void interrupts_leave(void) {
    rg_group *group = with_settings();
    add_released(group, NULL, until_stop, exit_in_interrupt, group, NULL);
    add_released(group, NULL, return_seven, count_interrupt, group, NULL);
    add_released(group, NULL, until_stop, exit_in_interrupt, group, NULL);
    add_released(group, NULL, until_stop, count_interrupt, group, NULL);
    CHECK_INT(code_of(group), 7);
    CHECK_INT(interrupted, 2);
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(report_of(group, i).stuck, 0);
        CHECK_INT(report_of(group, i).complaint[0] != 0, i % 2 == 0);
    }
    CHECK(strstr(report_of(group, 0).complaint, "thread") != NULL);
    CHECK(strstr(text_of(group), report_of(group, 0).complaint) != NULL);
    rg_free(group);
    await_threads(1);
}

static int exit_at;

static void exit_in_observer(const rg_event *event, void *userdata) {
    (void)userdata;
    if (event->kind == exit_at)
        pthread_exit(NULL);
}

static void observer_leaves(void) {
    rg_group *group = with_settings();
    CHECK_INT(rg_set_observer(group, exit_in_observer, NULL), 0);
    add_released(group, NULL, until_stop, count_interrupt, group, NULL);
    add_released(group, NULL, return_seven, count_interrupt, group, NULL);
    CHECK_INT(code_of(group), 7);
    CHECK_INT(interrupted, 2);
    rg_free(group);
    await_threads(1);
}

static void exit_in_start(rg_completion *done, void *userdata) {
    (void)done;
    (void)userdata;
    __sync_fetch_and_add(&started, 1);
    pthread_exit(NULL);
}

/* It counts as its return; so the group ends, and says why. */
static void start_leaves(void) {
    rg_group *group = with_settings();
    add_released(group, NULL, until_stop, count_interrupt, group, NULL);
    CHECK_INT(rg_add_async(group, "left", exit_in_start, count_interrupt, NULL, NULL), 0);
    add_released(group, NULL, until_stop, count_interrupt, group, NULL);
    CHECK_INT(code_of(group), RG_EPANIC);
    CHECK_INT(started, 1);
    CHECK_INT(interrupted, 3);
    CHECK_STR(rg_get_cause(group)->actor, "left");
    CHECK(strstr(rg_get_cause(group)->message, "thread") != NULL);
    CHECK_INT(report_of(group, 1).state, RG_STATE_PANICKED);
    rg_free(group);
    await_threads(1);
}

static void exit_in_release(void *userdata) {
    gate_pass(&released);
    if (userdata != NULL)
        pthread_exit(NULL);
}

/* The others' releases are called all the same. */
static void release_leaves(void) {
    rg_group *group = with_settings();
    add_released(group, NULL, return_seven, rg_interrupt_none, NULL, exit_in_release);
    add_released(group, NULL, return_seven, rg_interrupt_none, &released,
                 exit_in_release);
    add_released(group, NULL, return_seven, rg_interrupt_none, NULL, exit_in_release);
    CHECK_INT(code_of(group), 7);
    on_thread(free_on_thread, group);
    gate_await(&released, 3);
    CHECK_INT(gate_count(&released), 3);
    await_threads(1);
}

static void callbacks_that_leave(void) {
    for (int i = 0; i < 4; i++) {
        run_on_another = i % 2;
        with_grace = i / 2;
        check_status_0(interrupts_leave);
        check_status_0(start_leaves);
        check_status_0(release_leaves);
        for (exit_at = RG_EVENT_STARTED; exit_at <= RG_EVENT_STOPPED; exit_at++)
            check_status_0(observer_leaves);
    }
}

int main(void) {
    watchdog(240);
    CASE(exit_ends_the_process);
    CASE(callbacks_that_leave);
    await_threads(1);
    return finish("exits");
}
