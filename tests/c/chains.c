/* Handlers of other components around the library's: put over it during a run, and
 * calling what they found, as signal-hook and tokio do; below it, and left by
 * siglongjmp; changed between two runs. Each case is a process of its own. */
#include "process.h"

#include <setjmp.h>
#include <sys/uio.h>

static volatile sig_atomic_t bottom_called, top_called;
static struct sigaction below; /* what the top handler found */

static void bottom(int signal) { bottom_called = bottom_called + (signal > 0); }

static void top(int signal, siginfo_t *info, void *context) {
    top_called = top_called + 1;
    if (below.sa_flags & SA_SIGINFO)
        below.sa_sigaction(signal, info, context);
    else if (below.sa_handler != SIG_DFL && below.sa_handler != SIG_IGN)
        below.sa_handler(signal);
}

static void put_on_top(int signal) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = top;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    CHECK_INT(sigaction(signal, &action, &below), 0);
}

static void check_calls(int of_top, int of_bottom) {
    CHECK_INT(top_called, of_top);
    CHECK_INT(bottom_called, of_bottom);
    top_called = bottom_called = 0;
}

static int number;            /* the signal */
static int way;               /* how the group is run */
static void (*working)(void); /* what an actor does while the group runs */

static int work(void *group) {
    working();
    CHECK_INT(rg_wait_stop(group, -1), 1);
    return 0;
}

static int work_and_end(void *userdata) {
    (void)userdata;
    working();
    return 7;
}

static rg_group *listening(rg_execute_fn execute) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add_signals(group, &number, 1), 0);
    CHECK_INT(rg_add(group, execute, rg_interrupt_none, group), 0);
    return group;
}

static void run_and_free(rg_execute_fn execute, int wanted) {
    rg_group *group = listening(execute);
    CHECK_INT(run_in(way, group), wanted);
    if (wanted == 128 + number)
        check_noted(group, 0, number);
    rg_free(group);
}

static void put_over(void) { put_on_top(number); }
static void send(void) { raise(number); }
static void put_over_and_send(void) {
    put_over();
    send();
    check_calls(1, 0);
}
/* In a run that began with the other handler on top, the library may listen over it
 * or below it. */
static void check_heard_by_group(void) {
    CHECK(top_called <= 1);
    CHECK_INT(bottom_called, 0);
    top_called = 0;
}
static void send_and_count(void) {
    send();
    check_heard_by_group();
}
static void nothing(void) {}

static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1};

static void for_each_signal(void (*scenario)(void)) {
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        for (way = 0; way < WAYS; way++) {
            number = signals[i];
            int status = in_child(scenario);
            if (status != 0)
                fprintf(stderr, "signal %d, way %d: wait status 0x%x\n", number, way,
                        (unsigned)status);
            CHECK_INT(status, 0);
        }
}

/* ---- over the library's, with the host's first one below -------------------------- */

/* Each is called once for a signal, as if the library were not between them. */
static void over_a_handler(void) {
    handle_by(number, bottom);
    working = put_over;
    run_and_free(work_and_end, 7);
    for (int round = 0; round < 3; round++) {
        send();
        check_calls(1, 1);
        CHECK(disposition(number).sa_sigaction == top);
        /* The group hears it, the former handler does not. */
        working = send_and_count;
        run_and_free(work, 128 + number);
        CHECK(disposition(number).sa_sigaction == top);
        send();
        check_calls(1, 1);
        working = nothing;
        run_and_free(work_and_end, 7);
    }
}

static void over_a_handler_in_a_delivery(void) {
    handle_by(number, bottom);
    working = put_over_and_send;
    run_and_free(work, 128 + number);
    send();
    check_calls(1, 1);
    CHECK(disposition(number).sa_sigaction == top);
}

/* The host takes its handler away again: all is as in the beginning. */
static void taken_away(void) {
    handle_by(number, bottom);
    struct sigaction before = disposition(number);
    working = put_over;
    run_and_free(work_and_end, 7);
    CHECK_INT(sigaction(number, &before, NULL), 0);
    for (int round = 0; round < 3; round++) {
        working = send;
        run_and_free(work, 128 + number);
        check_calls(0, 0);
        CHECK(same_disposition(disposition(number), before));
        send();
        check_calls(0, 1);
    }
}

static void handler_below(void) {
    for_each_signal(over_a_handler);
    for_each_signal(over_a_handler_in_a_delivery);
    for_each_signal(taken_away);
}

/* ---- over the library's, with the default below ------------------------------------ */

/* The top handler took it: the process goes on, however often it comes. */
static void over_the_default(void) {
    working = put_over;
    run_and_free(work_and_end, 7);
    for (int round = 0; round < 3; round++) {
        send();
        check_calls(1, 0);
        CHECK(disposition(number).sa_sigaction == top);
        working = send_and_count;
        run_and_free(work, 128 + number);
        send();
        check_calls(1, 0);
    }
}

static int64_t sent;

static void send_twice_slowly(void) {
    put_over();
    send();
    sent = now_ns();
    await_time(sent + AGAIN_NS + 10 * MILLISECOND);
    send();
    check_calls(2, 0);
}

/* A second Ctrl-C would kill; a handler on top has the say. */
static void never_overruled(void) {
    working = send_twice_slowly;
    run_and_free(work, 128 + number);
    send();
    check_calls(1, 0);
}

static void default_below(void) {
    for_each_signal(over_the_default);
    for_each_signal(never_overruled);
}

/* ---- the disposition changes between runs -------------------------------------------
 */

static void check_comes_back(const struct sigaction *action) {
    CHECK_INT(sigaction(number, action, NULL), 0);
    struct sigaction before = disposition(number);
    working = nothing;
    run_and_free(work_and_end, 7);
    CHECK(same_disposition(disposition(number), before));
    working = send;
    run_and_free(work, 128 + number);
    CHECK(same_disposition(disposition(number), before));
}

/* Notices a library that takes two dispositions with one handler for the same and
 * puts the older one back: the mask and the flags are compared as well. */
static void only_mask_or_flags_change(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = bottom;
    sigemptyset(&action.sa_mask);
    check_comes_back(&action);
    sigaddset(&action.sa_mask, SIGWINCH);
    check_comes_back(&action);
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, LAST_SIGNAL);
    check_comes_back(&action);
    const int flags[] = {SA_NODEFER,   SA_RESTART, SA_ONSTACK,
                         SA_RESETHAND, 0,          SA_RESTART | SA_NODEFER};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        action.sa_flags = flags[i];
        check_comes_back(&action);
    }
    action.sa_handler = SIG_DFL;
    action.sa_flags = 0;
    check_comes_back(&action);
}

static void dispositions_compared(void) { for_each_signal(only_mask_or_flags_change); }

/* ---- rg_set_chain_signals ------------------------------------------------------------
 */

static rg_group *chaining(int on) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_chain_signals(group, on), 0);
    CHECK_INT(rg_add_signals(group, &number, 1), 0);
    CHECK_INT(rg_add(group, work, rg_interrupt_none, group), 0);
    return group;
}

/* Notices a setting that sticks in what is kept for the signal: a group that hands
 * signals on, and after it one that does not, and none that says so. */
static void chain_does_not_stick(void) {
    handle_by(number, bottom);
    working = send;
    for (int i = 0; i < 6; i++) {
        int on = i % 2 == 0;
        rg_group *group = chaining(on);
        CHECK_INT(run_in(way, group), 128 + number);
        rg_free(group);
        check_calls(0, on);
        run_and_free(work, 128 + number);
        check_calls(0, 0);
    }
}

/* Two at once: it is handed on while the one that wants it listens, and once. */
static void chain_of_one_of_two(void) {
    handle_by(number, bottom);
    working = nothing;
    rg_group *on = chaining(1), *off = chaining(0);
    CHECK_INT(rg_start(on), 0);
    CHECK_INT(rg_start(off), 0);
    CHECK_INT(rg_stop(on, 3), 0);
    CHECK_INT(finished(on), 3);
    rg_free(on);
    send();
    check_calls(0, 0);
    CHECK_INT(finished(off), 128 + number);
    rg_free(off);
    send();
    check_calls(0, 1);
}

static void chain_setting(void) {
    for_each_signal(chain_does_not_stick);
    for_each_signal(chain_of_one_of_two);
}

/* ---- handlers that are left by siglongjmp ---------------------------------------------
 */

static sigjmp_buf landing;
static volatile sig_atomic_t jumps;

static void jump(int signal) {
    jumps = jumps + (signal > 0);
    siglongjmp(landing, 1);
}

/* To be on the thread that jumps. */
static void send_and_land(void) {
    if (sigsetjmp(landing, 1) == 0)
        raise(number);
}

static void jump_out_of_a_delivery(void) {
    rg_group *group = chaining(1);
    working = nothing;
    CHECK_INT(rg_start(group), 0);
    send_and_land();
    CHECK_INT(finished(group), 128 + number);
    check_noted(group, 0, number);
    rg_free(group);
}

/* Notices a count of running handlers that is never brought down again, and marks
 * of a thread that is inside: later signals would be lost, or a run never end. */
static void jump_out_of_chained(void) {
    handle_by(number, jump);
    for (int round = 1; round <= 5; round++) {
        jump_out_of_a_delivery();
        CHECK_INT(jumps, 2 * round - 1);
        working = send;
        run_and_free(work, 128 + number);
        CHECK_INT(jumps, 2 * round - 1);
        send_and_land();
        CHECK_INT(jumps, 2 * round);
    }
}

/* Through the library's handler that is no longer listening. */
static void jump_out_of_passing_through(void) {
    handle_by(number, jump);
    working = put_over;
    run_and_free(work_and_end, 7);
    for (int round = 1; round <= 5; round++) {
        send_and_land();
        CHECK_INT(jumps, round);
        check_calls(1, 0);
        working = send_and_count;
        run_and_free(work, 128 + number);
        CHECK_INT(jumps, round);
    }
}

/* The one on top leaves, after ours has had the signal. */
static void top_that_jumps(int signal, siginfo_t *info, void *context) {
    top(signal, info, context);
    siglongjmp(landing, 1);
}

static void jump_out_of_the_top(void) {
    handle_by(number, bottom);
    rg_group *group = chaining(0);
    working = nothing;
    CHECK_INT(rg_start(group), 0);
    put_on_top(number);
    struct sigaction action = disposition(number);
    action.sa_sigaction = top_that_jumps;
    CHECK_INT(sigaction(number, &action, NULL), 0);
    send_and_land();
    CHECK_INT(finished(group), 128 + number);
    rg_free(group);
    check_calls(1, 0);
    for (int round = 0; round < 5; round++) {
        send_and_land();
        check_calls(1, 1);
        group = chaining(0);
        CHECK_INT(rg_start(group), 0);
        send_and_land();
        CHECK_INT(finished(group), 128 + number);
        rg_free(group);
        check_heard_by_group();
    }
}

static void left_by_siglongjmp(void) {
    for_each_signal(jump_out_of_chained);
    for_each_signal(jump_out_of_passing_through);
    for_each_signal(jump_out_of_the_top);
}

/* ---- the end waits for handlers that run ----------------------------------------------
 */

static volatile sig_atomic_t hold_writes, writing, begun;
static gate written = GATE_INIT;
static pthread_t sender;

/* The library's handler makes a descriptor readable; here it takes its time, and the
 * group ends meanwhile. */
ssize_t write(int fd, const void *buffer, size_t size) {
    if (hold_writes && pthread_equal(pthread_self(), sender)) {
        writing = begun = 1;
        int64_t until = now_ns() + 100 * MILLISECOND;
        while (now_ns() < until) {
        }
        struct iovec part = {(void *)(uintptr_t)buffer, size};
        ssize_t result = writev(fd, &part, 1);
        writing = 0;
        hold_writes = 0;
        return result;
    }
    struct iovec part = {(void *)(uintptr_t)buffer, size};
    return writev(fd, &part, 1);
}

static void *send_from_a_thread(void *unused) {
    sender = pthread_self();
    hold_writes = 1;
    raise(number);
    gate_pass(&written);
    return unused;
}

/* Notices an end of listening that does not wait for running handlers: they would
 * write to a descriptor that is closed, and soon another's. */
static void end_during_a_handler(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add_signals(group, &number, 1), 0);
    CHECK_INT(rg_start(group), 0);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, send_from_a_thread, NULL), 0);
    while (!begun)
        sched_yield();
    begun = 0;
    CHECK_INT(rg_stop(group, 3), 0);
    int code = finished(group);
    CHECK(code == 3 || code == 128 + number);
    rg_free(group);
    CHECK_INT(writing, 0);
    gate_await(&written, 1);
    pthread_join(thread, NULL);
}

static void end_waits_for_handlers(void) { for_each_signal(end_during_a_handler); }

int main(void) {
    watchdog(240);
    CASE(handler_below);
    CASE(default_below);
    CASE(dispositions_compared);
    CASE(chain_setting);
    CASE(left_by_siglongjmp);
    CASE(end_waits_for_handlers);
    return finish("chains");
}
