/* What every function does on an ordinary day. */
#include "check.h"

#include <poll.h>

/* ---- constants -------------------------------------------------------------- */

static void versions(void) {
    char text[64];
    snprintf(text, sizeof text, "%d.%d.%d", RG_VERSION_MAJOR, RG_VERSION_MINOR,
             RG_VERSION_PATCH);
    CHECK_STR(rg_version(), text);
    CHECK_INT(RG_VERSION_NUMBER,
              RG_VERSION_MAJOR * 10000 + RG_VERSION_MINOR * 100 + RG_VERSION_PATCH);
}

/* Part of the interface: no number is ever changed. */
static void numbers(void) {
    const int actual[] = {RG_OK,
                          RG_EINVAL,
                          RG_ESTATE,
                          RG_ENOMEM,
                          RG_ESPAWN,
                          RG_ETIMEDOUT,
                          RG_EPANIC,
                          RG_EABI,
                          RG_ENOTSUP,
                          RG_EVENT_STARTED,
                          RG_EVENT_RETURNED,
                          RG_EVENT_STOPPING,
                          RG_EVENT_INTERRUPTING,
                          RG_EVENT_INTERRUPTED,
                          RG_EVENT_STUCK,
                          RG_EVENT_STOPPED,
                          RG_STATE_ADDED,
                          RG_STATE_RUNNING,
                          RG_STATE_RETURNED,
                          RG_STATE_PANICKED,
                          RG_STUCK_EXECUTE,
                          RG_STUCK_INTERRUPT,
                          RG_STUCK_THREAD,
                          RG_FORMAT_TEXT,
                          RG_FORMAT_TRACE,
                          RG_DRIVE_WAKE,
                          RG_STEP_INTERRUPT,
                          RG_STEP_WAIT,
                          RG_STEP_FINISH,
                          RG_ORDER_ADDED,
                          RG_ORDER_REVERSE,
                          RG_ORDER_STAGED};
    const int wanted[] = {0,      -10001, -10002, -10003, -10004, -10005, -10006, -10007,
                          -10008, 0,      1,      2,      3,      4,      5,      6,
                          0,      1,      2,      3,      1,      2,      4,      0,
                          1,      1,      1,      2,      3,      0,      1,      2};
    CHECK_INT(sizeof actual, sizeof wanted);
    for (size_t i = 0; i < sizeof actual / sizeof *actual; i++)
        CHECK_INT(actual[i], wanted[i]);
}

static void error_texts(void) {
    const char *seen[10] = {rg_strerror(42), rg_strerror(0)};
    for (int i = 0; i < 8; i++)
        seen[i + 2] = rg_strerror(RG_EINVAL - i);
    for (int i = 0; i < 10; i++) {
        CHECK(seen[i] != NULL && seen[i][0] != 0);
        for (int j = 0; j < i; j++)
            CHECK(strcmp(seen[i], seen[j]) != 0);
    }
    CHECK(rg_strerror(RG_ENOTSUP - 1) != NULL);
    CHECK_STR(rg_strerror(42), rg_strerror(-42));
}

/* ---- running ------------------------------------------------------------------ */

static void empty_groups(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_stopping(group), 0);
    CHECK_INT(rg_actor_count(group), 0);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);

    group = rg_new();
    int code = 42;
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_wait(group, 0, &code), 1);
    CHECK_INT(code, 0);
    rg_free(group);

    rg_free(rg_new());
    rg_free(NULL);
}

static int never_called(void *userdata) {
    (void)userdata;
    CHECK(!"called");
    return 0;
}

static int released;

static void stopped_before_run(void) {
    rg_group *group = rg_new();
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = never_called;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = &released;
    actor.release = count_release;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(rg_stop(group, 6), 0);
    CHECK_INT(rg_run(group), 5);
    CHECK_INT(rg_get_cause(group)->code, 5);
    CHECK(rg_get_cause(group)->actor == NULL);
    CHECK_INT(rg_get_cause(group)->index, -1);
    CHECK_STR(rg_get_cause(group)->message, "");
    CHECK_INT(rg_stopping(group), 1);
    CHECK_INT(report_of(group, 0).state, RG_STATE_ADDED);
    rg_free(group);
    CHECK_INT(released, 1);
}

static void *stop_it(void *group) {
    rg_stop(group, 4);
    return NULL;
}

static void start_and_wait(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    int done = rg_done_fd(group), stop = rg_stop_fd(group), code = 42;
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_done_fd(group), done);
    CHECK_INT(rg_stop_fd(group), stop);
    struct pollfd fds[2] = {{done, POLLIN, 0}, {stop, POLLIN, 0}};
    CHECK_INT(poll(fds, 2, 0), 0);
    CHECK_INT(rg_wait(group, 0, &code), 0);
    int64_t began = now_ns();
    CHECK_INT(rg_wait(group, 20, &code), 0);
    CHECK_INT(rg_wait_stop(group, 20), 0);
    CHECK_INT(rg_poll(group, NULL, 0, 20), 0);
    CHECK(now_ns() - began >= 60 * 1000000);
    CHECK_INT(rg_stopping(group), 0);
    CHECK_INT(code, 42);
    CHECK(rg_get_cause(group) == NULL);

    pthread_t stopper;
    CHECK_INT(pthread_create(&stopper, NULL, stop_it, group), 0);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    CHECK_INT(rg_poll(group, NULL, 0, -1), 0);
    CHECK_INT(poll(fds, 1, -1), 1);
    CHECK_INT(poll(fds, 2, 0), 2);
    pthread_join(stopper, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(rg_wait(group, 0, &code), 1);
        CHECK_INT(code, 4);
        CHECK_INT(rg_wait(group, 0, NULL), 1);
    }
    CHECK_INT(rg_stop(group, 9), 0);
    CHECK_INT(rg_get_cause(group)->code, 4);
    rg_free(group);
    await_threads(1);
}

static void *wait_for_it(void *group) {
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 7);
    return NULL;
}

static void many_waiters(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_start(group), 0);
    pthread_t waiters[8];
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_create(&waiters[i], NULL, wait_for_it, group), 0);
    rg_stop(group, 7);
    for (int i = 0; i < 8; i++)
        CHECK_INT(pthread_join(waiters[i], NULL), 0);
    rg_free(group);
}

/* ---- a group in a group ----------------------------------------------------------- */

static int run_child(void *child) { return rg_run(child); }
static void stop_child(const rg_cause *cause, void *child) {
    rg_stop(child, cause->code);
}

static void nested_groups(void) {
    for (int i = 0; i < 100; i++) {
        rg_group *child = rg_new(), *parent = rg_new();
        CHECK_INT(rg_add(child, until_stop, rg_interrupt_none, child), 0);
        CHECK_INT(rg_add(parent, run_child, stop_child, child), 0);
        CHECK_INT(rg_add(parent, return_seven, rg_interrupt_none, NULL), 0);
        CHECK_INT(rg_run(parent), 7);
        CHECK_INT(report_of(parent, 0).code, 7);
        rg_free(parent);
        rg_free(child);
    }
}

/* ---- messages ------------------------------------------------------------------------
 */

static int fail_with(void *message) { return rg_fail(7, message); }

static int fail_otherwise(void *userdata) {
    (void)userdata;
    rg_fail(8, "of another code");
    return 7;
}

static int fail_twice(void *userdata) {
    (void)userdata;
    rg_fail(7, "the first");
    return rg_fail(7, "the last");
}

static int fail_and_take_back(void *userdata) {
    (void)userdata;
    rg_fail(7, "the first");
    return rg_fail(7, NULL);
}

static void message_is(rg_execute_fn execute, const char *given, const char *wanted) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, execute, rg_interrupt_none, (void *)given), 0);
    CHECK_INT(rg_run(group), 7);
    CHECK_STR(rg_get_cause(group)->message, wanted);
    CHECK_STR(rg_get_cause(group)->actor, "actor-0");
    CHECK_STR(report_of(group, 0).message, wanted);
    CHECK_STR(report_of(group, 0).complaint, "");
    rg_free(group);
}

static void complain(const rg_cause *cause, void *complaint) {
    (void)cause;
    CHECK_INT(rg_fail(-3, complaint), -3);
}

static void messages(void) {
    message_is(fail_with, "why", "why");
    message_is(fail_with, "", "");
    message_is(fail_with, NULL, "");
    message_is(fail_with, "no\xffUTF-8", "no\xef\xbf\xbdUTF-8");
    message_is(fail_otherwise, NULL, "");
    message_is(fail_twice, NULL, "the last");
    message_is(fail_and_take_back, NULL, "");
    CHECK_INT(rg_fail(3, "in no actor"), 3);
    message_is(return_seven, NULL, "");

    for (int grace = -1; grace < 20000; grace += 10001) {
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, grace), 0);
        CHECK_INT(rg_add(group, return_seven, complain, (void *)"it jams"), 0);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_run(group), 7);
        CHECK_STR(report_of(group, 0).complaint, "it jams");
        CHECK_STR(report_of(group, 1).complaint, "");
        CHECK_STR(rg_get_cause(group)->message, "");
        rg_free(group);
    }
}

/* ---- the observer
 * ------------------------------------------------------------------------ */

enum { MOST_EVENTS = 64 };

typedef struct record {
    int kind, code;
    int64_t index, time_ns;
    char actor[32], message[32];
} record;

typedef struct log {
    record records[MOST_EVENTS];
    int count, busy;
    pthread_t thread;
} event_log;

static void observe(const rg_event *event, void *userdata) {
    event_log *log = userdata;
    CHECK_INT(__sync_fetch_and_add(&log->busy, 1), 0); /* one at a time */
    CHECK_INT(event->size, sizeof *event);
    CHECK(log->count < MOST_EVENTS);
    record *record = &log->records[log->count];
    record->kind = event->kind;
    record->code = event->code;
    record->index = event->index;
    record->time_ns = event->time_ns;
    CHECK_INT(event->actor == NULL, event->index == -1);
    snprintf(record->actor, sizeof record->actor, "%s", event->actor ? event->actor : "");
    snprintf(record->message, sizeof record->message, "%s", event->message);
    if (log->count > 0) {
        CHECK(event->time_ns >= log->records[log->count - 1].time_ns);
        CHECK(pthread_equal(pthread_self(), log->thread));
    }
    log->thread = pthread_self();
    log->count++;
    __sync_fetch_and_sub(&log->busy, 1);
}

/* Where the event is in the log; it is there once. */
static int position(const event_log *log, int kind, int64_t index) {
    int found = -1;
    for (int i = 0; i < log->count; i++)
        if (log->records[i].kind == kind && log->records[i].index == index) {
            CHECK_INT(found, -1);
            found = i;
        }
    CHECK(found >= 0);
    return found;
}

static void observed(int by_start) {
    static event_log log;
    memset(&log, 0, sizeof log);
    rg_group *group = rg_new();
    CHECK_INT(rg_set_observer(group, observe, &log), 0);
    CHECK_INT(rg_add(group, fail_with, complain, (void *)"bye"), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    int code = 0;
    if (by_start) {
        CHECK_INT(rg_start(group), 0);
        CHECK_INT(rg_wait(group, -1, &code), 1);
        CHECK(!pthread_equal(log.thread, pthread_self()));
    } else {
        code = rg_run(group);
        CHECK(pthread_equal(log.thread, pthread_self()));
    }
    CHECK_INT(code, 7);
    CHECK_INT(log.count, 10);
    CHECK_INT(position(&log, RG_EVENT_STARTED, 0), 0);
    CHECK_INT(position(&log, RG_EVENT_STARTED, 1), 1);
    CHECK_INT(position(&log, RG_EVENT_RETURNED, 0), 2);
    CHECK_INT(position(&log, RG_EVENT_STOPPING, 0), 3);
    const int64_t actors[2] = {0, 1};
    int last = 3;
    for (int i = 0; i < 2; i++) {
        int begin = position(&log, RG_EVENT_INTERRUPTING, actors[i]);
        int end = position(&log, RG_EVENT_INTERRUPTED, actors[i]);
        CHECK(last < begin && begin < end);
        last = end;
    }
    CHECK(position(&log, RG_EVENT_RETURNED, 1) > 3);
    CHECK_INT(position(&log, RG_EVENT_STOPPED, -1), 9);
    CHECK_INT(log.records[2].code, 7);
    CHECK_STR(log.records[2].message, "bye");
    CHECK_STR(log.records[2].actor, "actor-0");
    CHECK_INT(log.records[3].code, 7);
    CHECK_STR(log.records[3].message, "bye");
    CHECK_STR(log.records[position(&log, RG_EVENT_INTERRUPTED, 0)].message, "bye");
    CHECK_INT(log.records[9].code, 7);
    rg_free(group);
}

static gate freedom = GATE_INIT;

static int stick(void *userdata) {
    (void)userdata;
    gate_await(&freedom, 1);
    return 0;
}

static void observed_stuck(void) {
    static event_log log;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_observer(group, observe, &log), 0);
    CHECK_INT(rg_set_grace(group, 20), 0);
    CHECK_INT(rg_add(group, stick, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    CHECK_INT(log.count, 10);
    CHECK_INT(position(&log, RG_EVENT_STUCK, 0), 8);
    CHECK_INT(position(&log, RG_EVENT_STOPPED, -1), 9);
    CHECK_INT(log.records[9].code, RG_ETIMEDOUT);
    rg_free(group);
    gate_pass(&freedom);
    await_threads(1);
}

static void observer_taken_back(void) {
    static event_log log;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_observer(group, observe, &log), 0);
    CHECK_INT(rg_set_observer(group, NULL, NULL), 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(log.count, 0);
    rg_free(group);
}

static void observed_stop_from_outside(void) {
    static event_log log;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_observer(group, observe, &log), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(rg_wait(group, -1, NULL), 1);
    int stopping = position(&log, RG_EVENT_STOPPING, -1);
    CHECK_INT(log.records[stopping].code, 5);
    CHECK(stopping < position(&log, RG_EVENT_RETURNED, 0));
    rg_free(group);
}

static void observer(void) {
    for (int i = 0; i < 100; i++)
        observed(i % 2);
    observed_stuck();
    observer_taken_back();
    observed_stop_from_outside();
}

/* ---- reports
 * ----------------------------------------------------------------------------- */

static int look_while_running(void *group) {
    rg_actor_report report = report_of(group, 0);
    CHECK_INT(report.state, RG_STATE_RUNNING);
    CHECK(report.started_ns >= 0);
    CHECK_INT(report.returned_ns, -1);
    CHECK_INT(report.interrupting_ns, -1);
    return rg_fail(7, "done");
}

static void report_fields(void) {
    rg_group *group = rg_new();
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.name = "looks";
    actor.execute = look_while_running;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = group;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_actor_count(group), 2);
    rg_actor_report report = report_of(group, 0);
    CHECK_STR(report.name, "looks");
    CHECK_INT(report.state, RG_STATE_ADDED);
    CHECK_INT(report.code, 0);
    CHECK_STR(report.message, "");
    CHECK_STR(report.complaint, "");
    CHECK_INT(report.stuck, 0);
    CHECK_INT(report.started_ns, -1);
    CHECK_INT(report.returned_ns, -1);
    CHECK_INT(report.interrupting_ns, -1);
    CHECK_INT(report.interrupted_ns, -1);

    CHECK_INT(rg_run(group), 7);
    report = report_of(group, 0);
    CHECK_INT(report.state, RG_STATE_RETURNED);
    CHECK_INT(report.code, 7);
    CHECK_STR(report.message, "done");
    rg_actor_report other = report_of(group, 1);
    CHECK_STR(other.name, "actor-1");
    CHECK_INT(other.code, 0);
    CHECK(0 <= report.started_ns && report.started_ns <= report.returned_ns);
    CHECK(report.returned_ns <= report.interrupting_ns);
    CHECK(report.interrupting_ns <= report.interrupted_ns);
    CHECK(report.interrupted_ns <= other.interrupting_ns);
    CHECK(other.returned_ns >= report.returned_ns);
    rg_free(group);
}

/* Names and messages that a careless writer of JSON stumbles over. */
static void formats(void) {
    const char *const nasty = "quote \" backslash \\ line\nfeed \x01 \xc3\xa4 </script>";
    rg_group *group = rg_new();
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.name = nasty;
    actor.execute = fail_with;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = (void *)nasty;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add_signals(group, NULL, 0), 0);
    static char text[1 << 16];
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) < sizeof text);
    CHECK(strstr(text, "actor-1") != NULL);
    for (int after = 0; after < 2; after++) {
        size_t length = rg_format_report(group, RG_FORMAT_TRACE, text, sizeof text);
        CHECK(length < sizeof text);
        FILE *parser = popen("python3 -m json.tool >/dev/null", "w");
        CHECK(parser != NULL);
        CHECK_INT(fwrite(text, 1, length, parser), length);
        CHECK_INT(pclose(parser), 0);
        if (!after)
            CHECK_INT(rg_run(group), 7);
    }
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) < sizeof text);
    CHECK(strstr(text, "ended by") != NULL);
    CHECK(strstr(text, "STUCK") == NULL);
    rg_free(group);
}

/* ---- async
 * -------------------------------------------------------------------------------- */

static rg_completion *kept_done;
static int starts;

static void keep_done(rg_completion *done, void *userdata) {
    (void)userdata;
    kept_done = done;
    starts++;
}

static void complete_it(const rg_cause *cause, void *userdata) {
    (void)userdata;
    CHECK_INT(rg_complete(kept_done, cause->code + 1, NULL), 0);
}

static void complete_now(rg_completion *done, void *userdata) {
    CHECK_INT(starts++, 1); /* in order, on this thread */
    CHECK_INT(rg_complete(done, 7, userdata), 0);
}

static void async_actors(void) {
    for (int i = 0; i < 200; i++) {
        starts = released = 0;
        rg_group *group = rg_new();
        CHECK_INT(rg_set_order(group, i % 3), 0);
        CHECK_INT(rg_set_grace(group, i % 2 ? 20000 : -1), 0);
        CHECK_INT(
            rg_add_async(group, NULL, keep_done, complete_it, &released, count_release),
            0);
        CHECK_INT(rg_add_async(group, "now", complete_now, rg_interrupt_none,
                               (void *)"at once", NULL),
                  0);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_run(group), 7);
        CHECK_INT(starts, 2);
        CHECK_STR(rg_get_cause(group)->message, "at once");
        CHECK_STR(rg_get_cause(group)->actor, "now");
        CHECK_INT(report_of(group, 0).code, 8);
        rg_free(group);
        CHECK_INT(released, 1);
    }
}

/* ---- driven by hand
 * -------------------------------------------------------------------------- */

static int64_t next_is(rg_group *group, int wanted) {
    int64_t value = 42;
    CHECK_INT(rg_drive_next(group, &value), wanted);
    return value;
}

static void driven(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, RG_ORDER_STAGED), 0);
    CHECK_INT(rg_drive_add(group, "first"), 0);
    CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_STR(report_of(group, 0).name, "first");
    CHECK_INT(report_of(group, 1).state, RG_STATE_RUNNING);
    CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
    CHECK_INT(rg_drive_return(group, 0, 7, "enough"), RG_DRIVE_WAKE);
    CHECK_INT(rg_stopping(group), 1);
    CHECK_STR(rg_get_cause(group)->message, "enough");
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 1);
    CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
    CHECK_INT(rg_drive_interrupted(group, 1, "it jams"), RG_DRIVE_WAKE);
    CHECK_INT(next_is(group, RG_STEP_WAIT), -1); /* staged: until it returned */
    CHECK_INT(rg_drive_return(group, 1, 1, NULL), RG_DRIVE_WAKE);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), 0); /* it asks anyway */
    CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
    CHECK_STR(report_of(group, 1).complaint, "it jams");
    int code = 0;
    CHECK_INT(rg_wait(group, 0, &code), 1);
    CHECK_INT(code, 7);
    rg_free(group);
}

static void driven_grace(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 30), 0);
    CHECK_INT(rg_drive_add(group, "stuck"), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    next_is(group, RG_STEP_WAIT);
    CHECK_INT(poll(&wake, 1, 0), 0);
    int64_t stopped_at = now_ns();
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(poll(&wake, 1, -1), 1);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    int64_t value = 0;
    int step;
    while ((step = rg_drive_next(group, &value)) == RG_STEP_WAIT) {
        CHECK_INT(poll(&wake, 1, 0), 0);
        CHECK(value > 0 && value <= 30 * 1000000);
        poll(&wake, 1, (int)(value / 1000000) + 1);
    }
    CHECK_INT(step, RG_STEP_FINISH);
    CHECK_INT(value, RG_ETIMEDOUT);
    CHECK(now_ns() - stopped_at >= 30 * 1000000);
    CHECK_INT(report_of(group, 0).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), 0);
    CHECK_INT(rg_drive_return(group, 0, 1, NULL), 0);
    rg_free(group);
}

static void driven_nothing(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_stopping(group), 1);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 0);
    rg_free(group);

    group = rg_new();
    CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 5);
    rg_free(group);
}

/* The library's own actors in a group that the host drives. */
static void driven_mixed(void) {
    for (int i = 0; i < 200; i++) {
        rg_group *group = rg_new();
        CHECK_INT(rg_drive_add(group, "host's"), 0);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_drive_begin(group), 0);
        struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
        if (i % 2)
            CHECK_INT(rg_stop(group, 7), 0);
        else
            CHECK(rg_drive_return(group, 0, 7, NULL) >= 0);
        int64_t value = 0;
        int step, interrupts = 0;
        while ((step = rg_drive_next(group, &value)) != RG_STEP_FINISH) {
            if (step == RG_STEP_INTERRUPT) {
                CHECK_INT(value, 0);
                CHECK_INT(interrupts++, 0);
                if (i % 2)
                    CHECK(rg_drive_return(group, 0, 1, NULL) >= 0);
                CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
            } else {
                CHECK_INT(step, RG_STEP_WAIT);
                CHECK_INT(poll(&wake, 1, -1), 1);
            }
        }
        CHECK_INT(value, 7);
        CHECK_INT(interrupts, 1);
        CHECK_INT(report_of(group, 1).state, RG_STATE_RETURNED);
        rg_free(group);
    }
}

int main(void) {
    watchdog(120);
    int before = descriptors();
    CASE(versions);
    CASE(numbers);
    CASE(error_texts);
    CASE(empty_groups);
    CASE(stopped_before_run);
    CASE(start_and_wait);
    CASE(many_waiters);
    CASE(nested_groups);
    CASE(messages);
    CASE(observer);
    CASE(report_fields);
    CASE(formats);
    CASE(async_actors);
    CASE(driven);
    CASE(driven_grace);
    CASE(driven_nothing);
    CASE(driven_mixed);
    CHECK_INT(descriptors(), before);
    await_threads(1);
    return finish("api");
}
