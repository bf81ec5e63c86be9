/* Stops as they really come: while the group stops already, twice, blocked, ignored,
 * pressed again by a person; in every order, with and without a grace, in each of
 * the three ways to run a group (rules 15 and 16). */
#include "process.h"

#include <sys/resource.h>

/* ---- every way, each in a process of its own ------------------------------------ */

/* The way of this child. */
static struct {
    int signal, way, order;
    int64_t grace;
    int last; /* whether the signal actor is added last, or first */
} is;

/* A child's status: it was not as fast as the rule asks for; once more. */
enum { TOO_SLOW = 77 };

static const int terminations[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, 0};
static const int keys[] = {SIGINT, SIGQUIT, 0};
static const int others[] = {SIGTERM, SIGHUP, SIGUSR1, 0};

static void check_status(void (*scenario)(void), int wanted) {
    int status, tries = 0;
    do
        status = in_child(scenario);
    while (WIFEXITED(status) && WEXITSTATUS(status) == TOO_SLOW && ++tries < 50);
    if (status == wanted)
        return;
    static const char *const ways[] = {"rg_run", "rg_start", "driven"};
    fprintf(stderr,
            "%s: signal %d, %s, order %d, grace %lld ms, signal actor %s: "
            "wait status 0x%x, not 0x%x\n",
            running_case, is.signal, ways[is.way], is.order, (long long)is.grace,
            is.last ? "last" : "first", (unsigned)status, (unsigned)wanted);
    check_failed();
}

static void in_every_way(void (*scenario)(void), const int *signals) {
    for (; *signals != 0; signals++)
        for (int i = 0; i < WAYS * 3 * 2 * 2; i++) {
            is.signal = *signals;
            is.way = i % WAYS;
            is.order = i / WAYS % 3;
            is.grace = i / WAYS / 3 % 2 ? 60000 : -1;
            is.last = i / WAYS / 3 / 2;
            check_status(scenario, 0);
        }
}

/* For what takes its time. `kills`: whether the signal does. */
static void in_few_ways(void (*scenario)(void), const int *signals, int kills) {
    for (; *signals != 0; signals++)
        for (is.way = 0; is.way < WAYS; is.way++) {
            is.signal = *signals;
            is.order = is.way;
            is.grace = is.way == BY_START ? -1 : 60000;
            is.last = is.way != DRIVEN;
            check_status(scenario, kills ? *signals : 0);
        }
}

/* ---- signals, on the thread that sends them --------------------------------------- */

/* The handler has run when raise returns, so no later than `sent_after` it ran. */
static int64_t sent_before, sent_after;

static void send_stop(void) {
    sent_before = now_ns();
    raise(is.signal);
    sent_after = now_ns();
}

/* Well before the rule takes it for another one. */
static void send_again(void) {
    if (now_ns() - sent_before > AGAIN_NS * 4 / 5)
        _exit(TOO_SLOW);
    send_stop();
}

static void send_late(void) {
    await_time(sent_after + AGAIN_NS + 10 * MILLISECOND);
    send_stop();
}

/* ---- a group ---------------------------------------------------------------------- */

static gate runs = GATE_INIT, sent = GATE_INIT;
static int drained;
static void (*when_running)(void), (*when_stopping)(void);

/* A server: does what it is told to while the group runs, and while it stops. */
static int serve(void *group) {
    if (when_running != NULL)
        when_running();
    gate_pass(&runs);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    if (when_stopping != NULL)
        when_stopping();
    drained++;
    return 0;
}

static int fail(void *userdata) {
    (void)userdata;
    gate_await(&runs, 1);
    return rg_fail(1, "lost the database");
}

static int stop_the_group(void *group) {
    gate_await(&runs, 1);
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    return 0;
}

/* `ending`: what ends it, besides the signal; may be NULL. Whatever is last is the
 * signal actor, if `is.last`. */
static rg_group *group_with(rg_execute_fn ending) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, is.order), 0);
    CHECK_INT(rg_set_grace(group, is.grace), 0);
    if (!is.last)
        CHECK_INT(rg_add_signals(group, &is.signal, 1), 0);
    CHECK_INT(rg_add(group, serve, rg_interrupt_none, group), 0);
    if (is.way == DRIVEN)
        CHECK_INT(rg_drive_add(group, "host"), 0);
    if (ending != NULL)
        CHECK_INT(rg_add(group, ending, rg_interrupt_none, group), 0);
    if (is.last)
        CHECK_INT(rg_add_signals(group, &is.signal, 1), 0);
    return group;
}

static size_t signal_actor(const rg_group *group) {
    return is.last ? rg_actor_count(group) - 1 : 0;
}

/* Looks at a group that is over, and frees it. */
static void check_over(rg_group *group, const process *before) {
    check_noted(group, signal_actor(group), is.signal);
    rg_free(group);
    check_as_before(before);
}

/* Runs it, and looks at what is the same in all cases. */
static void runs_and_drains(rg_execute_fn ending, int wanted) {
    process before = process_now();
    rg_group *group = group_with(ending);
    CHECK_INT(run_in(is.way, group), wanted);
    CHECK_INT(drained, 1);
    CHECK_INT(rg_get_cause(group)->code, wanted);
    check_over(group, &before);
}

/* ---- while the group stops already -------------------------------------------------
 */

static void actor_failed(void) {
    when_stopping = send_stop;
    runs_and_drains(fail, 1);
}

static void stopped_from_outside(void) {
    when_stopping = send_stop;
    runs_and_drains(stop_the_group, 5);
}

static void send_three(void) {
    send_stop();
    send_again();
    send_again();
}

static void actor_failed_stopped_thrice(void) {
    when_stopping = send_three;
    runs_and_drains(fail, 1);
}

static void while_stopping(void) {
    in_every_way(actor_failed, terminations);
    in_every_way(stopped_from_outside, terminations);
    in_every_way(actor_failed_stopped_thrice, terminations);
}

/* ---- twice --------------------------------------------------------------------------
 */

static void send_19_again(void) {
    for (int i = 0; i < 19; i++)
        send_again();
}

static void twice(void) {
    when_running = send_stop;
    when_stopping = send_again;
    runs_and_drains(NULL, 128 + is.signal);
}

static void twenty_times(void) {
    when_running = send_stop;
    when_stopping = send_19_again;
    runs_and_drains(NULL, 128 + is.signal);
}

/* Before the group has been told of the first. */
static void send_20(void) {
    send_stop();
    send_19_again();
}

static void twenty_times_at_once(void) {
    when_running = send_20;
    runs_and_drains(NULL, 128 + is.signal);
}

static void await_all_sent(void) { gate_await(&sent, 1); }

/* As `timeout` does: one to the process, one to its group, from outside. */
static void sent_by_another_process(void) {
    if (is.way == DRIVEN)
        is.way = BY_START;
    setpgid(0, 0);
    int ready[2];
    CHECK_INT(pipe(ready), 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        char byte;
        close(ready[1]);
        signal(is.signal, SIG_IGN);
        CHECK_INT(read(ready[0], &byte, 1), 1);
        kill(parent, is.signal);
        CHECK_INT(read(ready[0], &byte, 1), 1);
        kill(-parent, is.signal);
        _exit(0);
    }
    when_stopping = await_all_sent;
    process before = process_now();
    rg_group *group = group_with(NULL);
    CHECK_INT(rg_start(group), 0);
    int64_t began = now_ns();
    CHECK_INT(write(ready[1], "x", 1), 1);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    CHECK_INT(write(ready[1], "x", 1), 1);
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    gate_pass(&sent);
    /* Had the first one been delivered long ago, the second would be another. */
    int slow = now_ns() - began > AGAIN_NS * 4 / 5;
    CHECK_INT(finished(group), 128 + is.signal);
    check_over(group, &before);
    if (slow)
        _exit(TOO_SLOW);
}

static void the_same_twice(void) {
    in_every_way(twice, terminations);
    in_every_way(twenty_times, terminations);
    in_every_way(twenty_times_at_once, terminations);
}

/* ---- later --------------------------------------------------------------------------
 */

static void much_later(void) {
    when_running = send_stop;
    when_stopping = send_late;
    runs_and_drains(NULL, 128 + is.signal);
}

static void send_two_late(void) {
    send_stop();
    send_late();
}

static void failed_then_twice(void) {
    when_stopping = send_two_late;
    runs_and_drains(fail, 1);
}

/* Each soon after the one before, though the last is not soon after the first. */
static void send_every_150_ms(void) {
    for (int i = 0; i < 3; i++) {
        await_time(sent_after + 150 * MILLISECOND);
        send_again();
    }
}

static void three_presses(void) {
    when_running = send_stop;
    when_stopping = send_every_150_ms;
    runs_and_drains(NULL, 128 + is.signal);
}

static volatile sig_atomic_t handled;
static void count_signal(int signal) { handled = handled + (signal == is.signal); }

/* The host's handler gets the late one, and not those right after it. */
static void send_late_then_again(void) {
    CHECK_INT(handled, 0);
    send_late();
    CHECK_INT(handled, 1);
    send_again();
    CHECK_INT(handled, 1);
    send_late();
    CHECK_INT(handled, 2);
}

static void reaches_the_host(void) {
    handle_by(is.signal, count_signal);
    when_running = send_stop;
    when_stopping = send_late_then_again;
    runs_and_drains(NULL, 128 + is.signal);
    CHECK_INT(handled, 2);
    raise(is.signal);
    CHECK_INT(handled, 3);
}

/* A stop by a supervisor is never the host's again, while the group is there. */
static void send_late_not_handled(void) {
    send_late();
    CHECK_INT(handled, 0);
}

static void not_the_hosts(void) {
    handle_by(is.signal, count_signal);
    when_running = send_stop;
    when_stopping = send_late_not_handled;
    runs_and_drains(NULL, 128 + is.signal);
    raise(is.signal);
    CHECK_INT(handled, 1);
}

static void later(void) {
    in_few_ways(much_later, others, 0);
    in_few_ways(failed_then_twice, others, 0);
    in_few_ways(not_the_hosts, others, 0);
    in_few_ways(three_presses, keys, 0);
    in_few_ways(reaches_the_host, keys, 0);
    in_few_ways(much_later, keys, 1);
    in_few_ways(failed_then_twice, keys, 1);
}

/* ---- an event loop has left the default ---------------------------------------------
 */

/* A loop that handles the signal itself, and resets it when it ends. */
static void have_a_loop(void) {
    handle_by(is.signal, count_signal);
    signal(is.signal, SIG_DFL);
}

static int fail_with_a_loop(void *userdata) {
    fail(userdata);
    have_a_loop();
    return 1;
}

static rg_group *of_loop;

static int stop_with_a_loop(void *group) {
    of_loop = group;
    stop_the_group(group);
    have_a_loop();
    return 0;
}

/* The loop's end is nobody's stop: the group stopped before. */
static void send_after_the_loop(void) {
    size_t index = rg_actor_count(of_loop) - (is.last ? 2 : 1);
    rg_actor_report report = {.size = sizeof report};
    do
        CHECK_INT(rg_get_report(of_loop, index, &report), 0);
    while (report.state != RG_STATE_RETURNED);
    send_stop();
}

static void loop_ended_first(void) {
    when_stopping = send_stop;
    runs_and_drains(fail_with_a_loop, 1);
}

static void loop_ended_later(void) {
    when_stopping = send_after_the_loop;
    runs_and_drains(stop_with_a_loop, 5);
}

/* The host's handler is back when the group is over. */
static void loop_over_the_hosts(void) {
    handle_by(is.signal, count_signal);
    loop_ended_first();
    CHECK_INT(handled, 0);
    raise(is.signal);
    CHECK_INT(handled, 1);
}

static gate host_looped = GATE_INIT;

static void send_once_the_host_waits(void) {
    gate_await(&host_looped, 1);
    while (disposition(is.signal).sa_handler == SIG_DFL)
        sched_yield();
    send_stop();
}

/* The host's own loop, which ran between rg_start and rg_wait. */
static void host_loop_ended(void) {
    when_stopping = send_once_the_host_waits;
    process before = process_now();
    rg_group *group = group_with(fail);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    have_a_loop();
    gate_pass(&host_looped);
    CHECK_INT(finished(group), 1);
    check_over(group, &before);
}

static void loop_and_pressed_twice(void) {
    when_stopping = send_two_late;
    runs_and_drains(fail_with_a_loop, 1);
}

static void default_left_behind(void) {
    in_every_way(loop_ended_first, terminations);
    in_every_way(loop_ended_later, terminations);
    in_every_way(loop_over_the_hosts, terminations);
    is.signal = SIGTERM;
    is.way = BY_START;
    check_status(host_loop_ended, 0);
    in_few_ways(loop_and_pressed_twice, others, 0);
    in_few_ways(loop_and_pressed_twice, keys, 1);
}

/* ---- process 1, as in a container --------------------------------------------------
 */

#ifdef __linux__
static int make_namespace(void) {
    return unshare(CLONE_NEWPID | (geteuid() == 0 ? 0 : CLONE_NEWUSER));
}

static void try_namespace(void) { _exit(make_namespace() == 0 ? 0 : 1); }

static void (*of_process_1)(void);
static int kills_process_1;

static void in_a_namespace(void) {
    CHECK_INT(make_namespace(), 0);
    int status = in_child(of_process_1);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == TOO_SLOW)
        _exit(TOO_SLOW);
    CHECK_INT(WEXITSTATUS(status), kills_process_1 ? 128 + is.signal : 0);
}

static void as_process_1(void (*scenario)(void), const int *signals, int kills) {
    of_process_1 = scenario;
    kills_process_1 = kills;
    in_few_ways(in_a_namespace, signals, 0);
}

/* The kernel drops what would end this process by a default action. */
static void process_1(void) {
    if (in_child(try_namespace) != 0) {
        printf("stops: process 1 skipped: a namespace is not permitted\n");
        return;
    }
    as_process_1(much_later, keys, 1);
    as_process_1(reaches_the_host, keys, 0);
    as_process_1(much_later, others, 0);
}
#endif

/* ---- blocked ---------------------------------------------------------------------- */

static void send_to_process(void) { CHECK_INT(kill(getpid(), is.signal), 0); }

/* The textbook way to lose none: block, load, run. */
static void pending_before_the_run(void) {
    block(is.signal);
    send_to_process();
    CHECK_INT(is_pending(is.signal), 1);
    runs_and_drains(NULL, 128 + is.signal);
    CHECK_INT(is_pending(is.signal), 0);
}

static void sent_during_the_run(void) {
    block(is.signal);
    when_running = send_to_process;
    runs_and_drains(NULL, 128 + is.signal);
}

static void all_blocked(void) {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGALRM); /* the watchdog */
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    when_running = send_to_process;
    runs_and_drains(NULL, 128 + is.signal);
}

/* Nobody but the signal actor's thread lets it in: once the second has been taken,
 * the first one's handler has returned. */
static void send_two_to_process(void) {
    int64_t began = now_ns();
    for (int i = 0; i < 2; i++) {
        send_to_process();
        while (is_pending(is.signal))
            sched_yield();
    }
    if (now_ns() - began > AGAIN_NS * 4 / 5)
        _exit(TOO_SLOW);
}

static void blocked_and_stopping(void) {
    /* What comes too late for the group is the host's then. */
    handle_by(is.signal, count_signal);
    block(is.signal);
    when_stopping = send_two_to_process;
    runs_and_drains(fail, 1);
}

static void blocked(void) {
    in_every_way(pending_before_the_run, terminations);
    in_every_way(sent_during_the_run, terminations);
    in_every_way(all_blocked, terminations);
    in_every_way(blocked_and_stopping, terminations);
}

/* ---- inherited through exec ---------------------------------------------------------
 */

static void exec_self(const char *word) {
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d %d %d %d", is.signal, is.way, is.order,
             is.last);
    execl("/proc/self/exe", "stops", word, numbers, (char *)NULL);
    CHECK(!"exec works");
}

static void exec_blocked(void) {
    block(is.signal);
    exec_self("blocked");
}

static void exec_ignored(void) {
    signal(is.signal, SIG_IGN);
    exec_self("ignored");
}

static void blocked_by_a_parent(void) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_INT(sigismember(&mask, is.signal), 1);
    send_to_process();
    runs_and_drains(NULL, 128 + is.signal);
}

static void send_in_vain(void) {
    CHECK(disposition(is.signal).sa_handler == SIG_IGN);
    raise(is.signal);
    send_to_process();
}

/* nohup's: it neither stops the group nor is it noted, before and while it stops. */
static void ignored_by_a_parent(void) {
    process before = process_now();
    when_running = when_stopping = send_in_vain;
    rg_group *group = group_with(fail);
    CHECK_INT(run_in(is.way, group), 1);
    CHECK_INT(drained, 1);
    CHECK_INT(report_of(group, signal_actor(group)).code, 0);
    rg_free(group);
    check_as_before(&before);
    CHECK(disposition(is.signal).sa_handler == SIG_IGN);
    raise(is.signal);
}

static void inherited(void) {
    in_few_ways(exec_blocked, terminations, 0);
    in_few_ways(exec_ignored, terminations, 0);
}

static int as_inherited(const char *word, const char *numbers) {
    watchdog(30);
    CHECK_INT(sscanf(numbers, "%d %d %d %d", &is.signal, &is.way, &is.order, &is.last),
              4);
    is.grace = 60000;
    if (strcmp(word, "blocked") == 0)
        blocked_by_a_parent();
    else
        ignored_by_a_parent();
    return 0;
}

/* ---- two groups -------------------------------------------------------------------- */

static gate both_stop = GATE_INIT;

static int drain_together(void *group) {
    gate_pass(&runs);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    gate_pass(&both_stop);
    gate_await(&sent, 1);
    __sync_fetch_and_add(&drained, 1);
    return 0;
}

static rg_group *one_of_two(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, is.order), 0);
    CHECK_INT(rg_set_grace(group, is.grace), 0);
    CHECK_INT(rg_add_signals(group, &is.signal, 1), 0);
    CHECK_INT(rg_add(group, drain_together, rg_interrupt_none, group), 0);
    CHECK_INT(rg_start(group), 0);
    return group;
}

/* Both are told of the first, and both absorb the second. `stopped`: the first group
 * stops already when the signal comes. */
static void two_listen(int stopped) {
    process before = process_now();
    rg_group *groups[] = {one_of_two(), one_of_two()};
    gate_await(&runs, 2);
    if (stopped) {
        CHECK_INT(rg_stop(groups[0], 3), 0);
        gate_await(&both_stop, 1);
    }
    send_stop();
    gate_await(&both_stop, 2);
    send_again();
    send_again();
    gate_pass(&sent);
    CHECK_INT(finished(groups[0]), stopped ? 3 : 128 + is.signal);
    CHECK_INT(finished(groups[1]), 128 + is.signal);
    CHECK_INT(drained, 2);
    for (int i = 0; i < 2; i++) {
        check_noted(groups[i], 0, is.signal);
        rg_free(groups[i]);
    }
    check_as_before(&before);
}

static void two_running(void) { two_listen(0); }
static void one_stopping(void) { two_listen(1); }

/* One is over, and the other goes on to absorb what comes again. */
static void one_ends_before(void) {
    process before = process_now();
    rg_group *other = rg_new();
    CHECK_INT(rg_add_signals(other, &is.signal, 1), 0);
    CHECK_INT(rg_start(other), 0);
    rg_group *group = one_of_two();
    gate_await(&runs, 1);
    send_stop();
    gate_await(&both_stop, 1);
    CHECK_INT(finished(other), 128 + is.signal);
    rg_free(other);
    send_again();
    gate_pass(&sent);
    CHECK_INT(finished(group), 128 + is.signal);
    check_noted(group, 0, is.signal);
    rg_free(group);
    check_as_before(&before);
}

static void two_groups(void) {
    in_every_way(two_running, terminations);
    in_every_way(one_stopping, terminations);
    in_every_way(one_ends_before, terminations);
    in_few_ways(sent_by_another_process, terminations, 0);
}

int main(int count, char **arguments) {
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (count > 2)
        return as_inherited(arguments[1], arguments[2]);
    watchdog(240);
    CASE(while_stopping);
    CASE(the_same_twice);
    CASE(later);
    CASE(default_left_behind);
#ifdef __linux__
    CASE(process_1);
#endif
    CASE(blocked);
    CASE(inherited);
    CASE(two_groups);
    return finish("stops");
}
