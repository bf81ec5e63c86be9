/* Bad input: each with its error, nothing changed by it, and the group still
 * works. */
#include "check.h"

#include <limits.h>

static int released;

static void do_nothing(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
}

static void start_nothing(rg_completion *done, void *userdata) {
    (void)done;
    (void)userdata;
}

static void observe_nothing(const rg_event *event, void *userdata) {
    (void)event;
    (void)userdata;
}

static rg_actor good_actor(void) {
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = return_seven;
    actor.interrupt = do_nothing;
    actor.userdata = &released;
    actor.release = count_release;
    return actor;
}

/* Adds a good actor to a group, runs it, and wants `count` releases. */
static void ends(rg_group *group, int code, int count) {
    rg_actor actor = good_actor();
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(released, 0);
    CHECK_INT(rg_run(group), code);
    CHECK_INT(released, 0);
    rg_free(group);
    CHECK_INT(released, count);
    released = 0;
}

static void still_works(rg_group *group, int count) { ends(group, 7, count); }

/* It has refused an actor (rule 14). */
static void does_not_run(rg_group *group, int count) { ends(group, RG_EINVAL, count); }

/* ---- no handle ---------------------------------------------------------------- */

/* Every function with a handle that is none. */
static void every_function(void *none, int error) {
    rg_actor actor = good_actor();
    rg_actor_report report;
    memset(&report, 0, sizeof report);
    report.size = sizeof report;
    int code = 42, signal = SIGUSR1;
    int64_t value = 42;
    char text[8] = "before";
    struct pollfd fd = {-1, 0, 0};
    rg_summary summary;
    memset(&summary, 0x55, sizeof summary);
    summary.size = sizeof summary;
    const rg_summary same_summary = summary;

    CHECK_INT(rg_add(none, return_seven, do_nothing, NULL), error);
    CHECK_INT(rg_add_actor(none, &actor), error);
    CHECK_INT(
        rg_add_async(none, "a", start_nothing, do_nothing, &released, count_release),
        error);
    CHECK_INT(rg_add_signals(none, NULL, 0), error);
    CHECK_INT(rg_add_signals(none, &signal, 1), error);
    CHECK_INT(rg_run(none), error);
    CHECK_INT(rg_start(none), error);
    CHECK_INT(rg_done_fd(none), error);
    CHECK_INT(rg_wait(none, -1, &code), error);
    CHECK_INT(code, 42);
    CHECK_INT(rg_complete(none, 0, NULL), error);
    CHECK_INT(rg_stop(none, 1), error);
    CHECK_INT(rg_stopping(none), error);
    CHECK_INT(rg_wait_stop(none, -1), error);
    CHECK_INT(rg_stop_fd(none), error);
    CHECK_INT(rg_poll(none, &fd, 1, -1), error);
    CHECK_INT(rg_set_chain_signals(none, 1), error);
    CHECK_INT(rg_add_systemd(none), error);
    CHECK_INT(rg_set_grace(none, 1), error);
    CHECK_INT(rg_set_order(none, RG_ORDER_ADDED), error);
    CHECK_INT(rg_set_observer(none, observe_nothing, NULL), error);
    CHECK(rg_get_cause(none) == NULL);
    CHECK_INT(rg_actor_count(none), 0);
    CHECK_INT(rg_get_report(none, 0, &report), error);
    CHECK_INT(rg_format_report(none, RG_FORMAT_TEXT, text, sizeof text), 0);
    CHECK_INT(rg_drive_add(none, "a"), error);
    CHECK_INT(rg_drive_begin(none), error);
    CHECK_INT(rg_drive_return(none, 0, 0, NULL), error);
    CHECK_INT(rg_drive_next(none, &value), error);
    CHECK_INT(value, 42);
    CHECK_INT(rg_drive_fd(none), error);
    CHECK_INT(rg_drive_interrupted(none, 0, NULL), error);
    CHECK_INT(rg_get_summary(none, &summary), error);
    CHECK(memcmp(&summary, &same_summary, sizeof summary) == 0);
    rg_free(none);
    CHECK_INT(released, 0);
}

static void null_group(void) { every_function(NULL, RG_EINVAL); }

static void foreign_handles(void) {
    struct {
        uint64_t magic;
        uint32_t abi, size;
        void *functions[64];
    } table;
    struct {
        void *table;
        void *rest[16];
    } handle;
    memset(&table, 0, sizeof table);
    memset(&handle, 0, sizeof handle);
    every_function(&handle, RG_EABI); /* zeroes */

    handle.table = &table;
    every_function(&handle, RG_EABI); /* no magic */

    memcpy(&table.magic, "rungroup", 8);
    table.abi = 12345;
    table.size = sizeof table;
    every_function(&handle, RG_EABI); /* another ABI */

    table.abi = 0;
    table.size = 16;
    every_function(&handle, RG_EABI); /* a table without functions */

    table.size = sizeof table;
    memcpy(&table.magic, "RUNGROUP", 8);
    every_function(&handle, RG_EABI); /* another magic */

    handle.table = (char *)&table + 1;
    every_function(&handle, RG_EABI); /* no pointer to a table */
}

/* ---- actors that are refused ----------------------------------------------------- */

static void refused(rg_group *group, const rg_actor *actor) {
    size_t before = rg_actor_count(group);
    CHECK_INT(rg_add_actor(group, actor), RG_EINVAL);
    CHECK_INT(rg_actor_count(group), before);
    CHECK_INT(released, 0);
}

static void missing_functions(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, NULL, do_nothing, NULL), RG_EINVAL);
    CHECK_INT(rg_add(group, return_seven, NULL, NULL), RG_EINVAL);
    CHECK_INT(rg_add(group, NULL, NULL, NULL), RG_EINVAL);
    refused(group, NULL);
    rg_actor actor = good_actor();
    actor.execute = NULL;
    refused(group, &actor);
    actor = good_actor();
    actor.interrupt = NULL;
    refused(group, &actor);
    CHECK_INT(rg_add_async(group, NULL, NULL, do_nothing, &released, count_release),
              RG_EINVAL);
    CHECK_INT(rg_add_async(group, NULL, start_nothing, NULL, &released, count_release),
              RG_EINVAL);
    CHECK_INT(rg_actor_count(group), 0);
    does_not_run(group, 1);
}

static void wrong_size(void) {
    rg_group *group = rg_new();
    const size_t sizes[] = {0, 1, sizeof(rg_actor) - 1, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rg_actor actor = good_actor();
        actor.size = sizes[i];
        refused(group, &actor);
    }
    /* A somewhat larger one is a newer header's. */
    struct {
        rg_actor actor;
        void *newer[4];
    } larger;
    memset(&larger, 0, sizeof larger);
    larger.actor = good_actor();
    larger.actor.size = sizeof larger;
    CHECK_INT(rg_add_actor(group, &larger.actor), 0);
    /* What it asks for with that would not be done. */
    larger.newer[3] = &larger;
    refused(group, &larger.actor);
    CHECK(strstr(rg_last_error(), "newer header") != NULL);
    does_not_run(group, 2);
}

static void bad_names(void) {
    rg_group *group = rg_new();
    const char *const not_utf8[] = {"\xff",
                                    "a\x80",
                                    "\xc3",
                                    "\xc0\xaf",
                                    "\xed\xa0\x80",
                                    "\xf4\x90\x80\x80",
                                    "ok until \xe2\x82"};
    for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++) {
        rg_actor actor = good_actor();
        actor.name = not_utf8[i];
        refused(group, &actor);
        CHECK_INT(rg_add_async(group, not_utf8[i], start_nothing, do_nothing, &released,
                               count_release),
                  RG_EINVAL);
        CHECK_INT(rg_drive_add(group, not_utf8[i]), RG_EINVAL);
    }
    const size_t mebi = 1 << 20;
    char *name = malloc(mebi + 1);
    memset(name, 'n', mebi);
    name[mebi] = 0;
    rg_actor actor = good_actor();
    actor.name = name;
    refused(group, &actor);
    name[256] = 0;
    refused(group, &actor);
    name[255] = 0;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_STR(report_of(group, 0).name, name);
    actor.name = "";
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_STR(report_of(group, 1).name, "");
    free(name);
    does_not_run(group, 3);
}

static void bad_stacks(void) {
    rg_group *group = rg_new();
    const size_t sizes[] = {1, (16 << 10) - 1, ((size_t)1 << 46) + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rg_actor actor = good_actor();
        actor.stack_size = sizes[i];
        refused(group, &actor);
    }
    rg_actor actor = good_actor();
    actor.stack_size = 16 << 10;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    actor.stack_size = 20001; /* no multiple of a page */
    CHECK_INT(rg_add_actor(group, &actor), 0);
    does_not_run(group, 3);

    /* Allowed, but not to be had. */
    group = rg_new();
    actor = good_actor();
    actor.stack_size = (size_t)1 << 46;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_run(group), RG_ESPAWN);
    CHECK(strstr(rg_last_error(), "rg_run: no thread for \"actor-0\": ") != NULL);
    CHECK_INT(rg_run(group), RG_ESPAWN);
    rg_free(group);
    CHECK_INT(released, 1);
    released = 0;
}

static void bad_signals(void) {
    rg_group *group = rg_new();
    const int numbers[] = {0,       -1,      65,      66,      1000,
                           INT_MIN, INT_MAX, SIGKILL, SIGSTOP, SIGSEGV,
                           SIGBUS,  SIGFPE,  SIGILL,  32,      33};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        CHECK_INT(rg_add_signals(group, &numbers[i], 1), RG_EINVAL);
        int two[2] = {SIGUSR1, numbers[i]};
        CHECK_INT(rg_add_signals(group, two, 2), RG_EINVAL);
    }
    CHECK_INT(rg_add_signals(group, numbers, 0), RG_EINVAL);
    CHECK_INT(rg_add_signals(group, NULL, 1), RG_EINVAL);
    CHECK_INT(rg_add_signals(group, numbers, SIZE_MAX), RG_EINVAL);
    CHECK_INT(rg_actor_count(group), 0);
    int twice[2] = {SIGUSR1, SIGUSR1};
    CHECK_INT(rg_add_signals(group, twice, 2), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK_INT(rg_listens(numbers[i]), 0);
    CHECK_INT(rg_listens(SIGUSR1), 0); /* not before the run */
    does_not_run(group, 1);
    CHECK_INT(rg_listens(SIGUSR1), 0);
}

/* ---- settings and results ---------------------------------------------------------- */

static void bad_settings(void) {
    rg_group *group = rg_new();
    const int orders[] = {-1, RG_ORDER_STAGED + 1, INT_MIN, INT_MAX};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        CHECK_INT(rg_set_order(group, orders[i]), RG_EINVAL);
    CHECK_INT(rg_poll(group, NULL, 1, 0), RG_EINVAL);
    struct pollfd fd = {-1, 0, 0};
    CHECK_INT(rg_poll(group, &fd, SIZE_MAX, 0), RG_EINVAL);
    CHECK_INT(rg_poll(group, NULL, 0, 0), 0);
    /* Extreme times are times. */
    CHECK_INT(rg_set_grace(group, INT64_MAX), 0);
    CHECK_INT(rg_set_grace(group, INT64_MIN), 0);
    CHECK_INT(rg_wait_stop(group, 0), 0);
    still_works(group, 1);
}

static void bad_reports(void) {
    rg_group *group = rg_new();
    rg_actor actor = good_actor();
    actor.name = "\xc3\xa4\xc3\xb6\xc3\xbc";
    CHECK_INT(rg_add_actor(group, &actor), 0);

    rg_actor_report report;
    memset(&report, 0x55, sizeof report);
    const rg_actor_report before = report;
    const size_t sizes[] = {0, 1, sizeof report - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        report.size = sizes[i];
        CHECK_INT(rg_get_report(group, 0, &report), RG_EINVAL);
    }
    report.size = sizeof report;
    CHECK_INT(rg_get_report(group, 1, &report), RG_EINVAL);
    CHECK_INT(rg_get_report(group, SIZE_MAX, &report), RG_EINVAL);
    CHECK_INT(rg_get_report(group, 0, NULL), RG_EINVAL);
    report.size = before.size;
    CHECK(memcmp(&report, &before, sizeof report) == 0);

    CHECK_INT(rg_format_report(group, 2, NULL, 0), 0);
    CHECK_INT(rg_format_report(group, -1, NULL, 0), 0);
    char unknown[4] = "abc";
    CHECK_INT(rg_format_report(group, 2, unknown, sizeof unknown), 0);
    CHECK_STR(unknown, "");

    CHECK_INT(rg_run(group), 7); /* or times in the text would change */
    for (int format = RG_FORMAT_TEXT; format <= RG_FORMAT_TRACE; format++) {
        size_t length = rg_format_report(group, format, NULL, 0);
        CHECK(length > 0);
        char *whole = malloc(length + 1), *part = malloc(length + 2);
        CHECK_INT(rg_format_report(group, format, whole, length + 1), length);
        CHECK_INT(strlen(whole), length);
        for (size_t size = 0; size <= length + 1; size++) {
            memset(part, '#', length + 2);
            CHECK_INT(rg_format_report(group, format, part, size), length);
            size_t kept = size == 0 ? 0 : strnlen(part, size);
            CHECK(size == 0 || kept < size);
            CHECK(memcmp(part, whole, kept) == 0);
            /* Cut between characters, and no further than that needs. */
            CHECK((whole[kept] & 0xc0) != 0x80);
            CHECK(size == 0 || kept == length || kept + 4 >= size);
            CHECK(part[size] == '#');
        }
        free(whole);
        free(part);
    }
    rg_free(group);
    CHECK_INT(released, 1);
    released = 0;
}

static void bad_summaries(void) {
    rg_group *group = rg_new();
    rg_actor actor = good_actor();
    CHECK_INT(rg_add_actor(group, &actor), 0);
    rg_summary summary;
    memset(&summary, 0x55, sizeof summary);
    const rg_summary before = summary;
    const size_t sizes[] = {0, 1, sizeof summary - 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        summary.size = sizes[i];
        CHECK_INT(rg_get_summary(group, &summary), RG_EINVAL);
    }
    summary.size = before.size;
    CHECK(memcmp(&summary, &before, sizeof summary) == 0);
    CHECK_INT(rg_get_summary(group, NULL), RG_EINVAL);

    /* Before the run there is nothing to say, and it is said. */
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    CHECK_INT(summary.finished, 0);
    CHECK_INT(summary.stopping, 0);
    CHECK_INT(summary.cause_index, -1);
    CHECK_STR(summary.cause_message, "");
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(rg_get_summary(group, &summary), 0);
    CHECK_INT(summary.code, 7);

    rg_actor_report report;
    report.size = sizeof report;
    CHECK_INT(rg_get_report(group, 0, &report), 0);
    char text[8] = "before";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rg_summary small = summary;
        small.size = sizes[i];
        CHECK_INT(rg_format_summary(&small, &report, 1, RG_FORMAT_TEXT, text, 8), 0);
    }
    /* An array's steps are the size that its first has. */
    struct {
        rg_actor_report report;
        void *newer[2];
    } newer[2];
    memset(newer, 0x55, sizeof newer);
    rg_actor_report two[2] = {report, report};
    for (int i = 0; i < 2; i++) {
        newer[i].report = report;
        newer[i].report.size = sizeof *newer;
    }
    CHECK_INT(rg_format_summary(&summary, &newer[0].report, 2, RG_FORMAT_TEXT, NULL, 0),
              rg_format_summary(&summary, two, 2, RG_FORMAT_TEXT, NULL, 0));
    const size_t steps[] = {0, 1, sizeof report - 1, sizeof report + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        rg_actor_report other = report;
        other.size = steps[i];
        CHECK_INT(rg_format_summary(&summary, &other, 1, RG_FORMAT_TEXT, text, 8), 0);
    }
    CHECK_INT(rg_format_summary(NULL, &report, 1, RG_FORMAT_TEXT, text, 8), 0);
    CHECK_INT(rg_format_summary(&summary, NULL, 1, RG_FORMAT_TEXT, text, 8), 0);
    CHECK_STR(text, "before");
    CHECK_INT(rg_format_summary(&summary, &report, 1, 2, text, 8), 0);
    CHECK_INT(rg_format_summary(&summary, &report, 1, -1, NULL, 0), 0);
    CHECK_STR(text, "");

    /* What cannot be is written as if it were not there. */
    CHECK(rg_format_summary(&summary, NULL, 0, RG_FORMAT_TEXT, NULL, 0) > 0);
    summary.order = 12345;
    summary.cause_index = 1;
    summary.cause_message = NULL;
    report.name = report.message = report.complaint = NULL;
    for (int format = RG_FORMAT_TEXT; format <= RG_FORMAT_TRACE; format++) {
        size_t length = rg_format_summary(&summary, &report, 1, format, NULL, 0);
        char *whole = malloc(length + 1);
        CHECK(length > 0);
        CHECK_INT(rg_format_summary(&summary, &report, 1, format, whole, length + 1),
                  length);
        CHECK_INT(strlen(whole), length);
        free(whole);
    }
    rg_free(group);
    CHECK_INT(released, 1);
    released = 0;
}

/* ---- at the wrong time ----------------------------------------------------------------
 */

static void too_late(rg_group *group) {
    rg_actor actor = good_actor();
    int count = (int)rg_actor_count(group);
    CHECK_INT(rg_add(group, return_seven, do_nothing, NULL), RG_ESTATE);
    CHECK_INT(rg_add_actor(group, &actor), RG_ESTATE);
    CHECK_INT(
        rg_add_async(group, "a", start_nothing, do_nothing, &released, count_release),
        RG_ESTATE);
    CHECK_INT(rg_add_signals(group, NULL, 0), RG_ESTATE);
    CHECK_INT(rg_drive_add(group, "a"), RG_ESTATE);
    CHECK_INT(rg_set_grace(group, 1), RG_ESTATE);
    CHECK_INT(rg_set_order(group, RG_ORDER_REVERSE), RG_ESTATE);
    CHECK_INT(rg_set_observer(group, observe_nothing, NULL), RG_ESTATE);
    CHECK_INT(rg_set_chain_signals(group, 1), RG_ESTATE);
    CHECK_INT(rg_add_systemd(group), RG_ESTATE);
    CHECK_INT(rg_run(group), RG_ESTATE);
    CHECK_INT(rg_start(group), RG_ESTATE);
    CHECK_INT(rg_drive_begin(group), RG_ESTATE);
    CHECK_INT(rg_drive_return(group, 0, 0, NULL), RG_ESTATE);
    int64_t value;
    CHECK_INT(rg_drive_next(group, &value), RG_ESTATE);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_actor_count(group), count);
    CHECK_INT(released, 0);
}

static void after_run(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_wait(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_add(group, return_seven, do_nothing, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    too_late(group);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 7);
    rg_free(group);

    group = rg_new();
    CHECK_INT(rg_run(group), 0);
    CHECK_INT(rg_run(group), RG_ESTATE);
    rg_free(group);
}

static void free_is_refused(rg_group *group) {
    /* With a grace, the observer and the interrupts have a thread each. */
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    char said[1024];
    FILE *kept;
    pthread_mutex_lock(&one);
    int before = stderr_begin(&kept);
    rg_free(group);
    stderr_end(before, kept, said, sizeof said);
    pthread_mutex_unlock(&one);
    CHECK(strncmp(said, "rungroup: rg_free: ", 19) == 0);
    CHECK(strchr(said, '\n') == said + strlen(said) - 1); /* one line */
}

static void from_inside(void *group) {
    int code = 42;
    too_late(group);
    CHECK_INT(rg_wait(group, -1, &code), RG_ESTATE);
    CHECK_INT(rg_wait(group, 0, &code), RG_ESTATE);
    CHECK_INT(code, 42);
    free_is_refused(group);
}

static int misuse_in_execute(void *group) {
    from_inside(group);
    CHECK_INT(rg_stopping(group), 0);
    return 7;
}

static void misuse_in_interrupt(const rg_cause *cause, void *group) {
    CHECK_INT(cause->code, 7);
    from_inside(group);
}

static void misuse_in_observer(const rg_event *event, void *group) {
    if (event->kind == RG_EVENT_STOPPING)
        from_inside(group);
}

static void from_own_actors(void) {
    for (int start = 0; start < 2; start++) {
        for (int grace = -1; grace < 20000; grace += 10001) {
            rg_group *group = rg_new();
            CHECK_INT(rg_set_grace(group, grace), 0);
            CHECK_INT(rg_set_observer(group, misuse_in_observer, group), 0);
            CHECK_INT(rg_add(group, misuse_in_execute, misuse_in_interrupt, group), 0);
            CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
            int code = 0;
            if (start) {
                CHECK_INT(rg_start(group), 0);
                CHECK_INT(rg_wait(group, -1, &code), 1);
            } else {
                code = rg_run(group);
            }
            CHECK_INT(code, 7);
            rg_free(group);
        }
    }
}

static void freed_while_running(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_start(group), 0);
    free_is_refused(group);
    CHECK_INT(rg_stop(group, 5), 0);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 5);
    rg_free(group);
}

/* ---- completions
 * ------------------------------------------------------------------------- */

static rg_completion *kept_done;

static void complete_twice(rg_completion *done, void *userdata) {
    (void)userdata;
    kept_done = done;
    CHECK_INT(rg_complete(done, 7, "once"), 0);
    CHECK_INT(rg_complete(done, 8, "twice"), RG_ESTATE);
}

static void completed_twice(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add_async(group, NULL, complete_twice, do_nothing, NULL, NULL), 0);
    CHECK_INT(rg_complete(NULL, 0, NULL), RG_EINVAL);
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(rg_complete(kept_done, 9, "late"), RG_ESTATE);
    CHECK_STR(rg_get_cause(group)->message, "once");
    CHECK_INT(report_of(group, 0).code, 7);
    rg_free(group);
}

/* A start that could not be undone is not called before all threads exist. */
static void not_completed_before_run(void) {
    kept_done = NULL;
    rg_group *group = rg_new();
    rg_actor actor = good_actor();
    actor.stack_size = (size_t)1 << 46;
    CHECK_INT(rg_add_async(group, NULL, complete_twice, do_nothing, NULL, NULL), 0);
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_run(group), RG_ESPAWN);
    CHECK(kept_done == NULL);
    rg_free(group);
    CHECK_INT(released, 1);
    released = 0;
}

static void bad_driving(void) {
    rg_group *group = rg_new();
    int64_t value = 42;
    CHECK_INT(rg_drive_return(group, 0, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_next(group, &value), RG_ESTATE);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_drive_return(group, 0, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_run(group), RG_ESTATE); /* only a host can run it */
    CHECK_INT(rg_start(group), RG_ESTATE);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_drive_next(group, NULL), RG_EINVAL);
    CHECK_INT(rg_drive_return(group, 1, 0, NULL), RG_EINVAL);
    CHECK_INT(rg_drive_return(group, SIZE_MAX, 0, NULL), RG_EINVAL);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_interrupted(group, 1, NULL), RG_EINVAL);
    CHECK(rg_drive_return(group, 0, 3, NULL) >= 0);
    CHECK_INT(rg_drive_return(group, 0, 4, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_next(group, &value), RG_STEP_INTERRUPT);
    CHECK_INT(value, 0);
    CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_next(group, &value), RG_STEP_FINISH);
    CHECK_INT(value, 3);
    rg_free(group);
}

int main(void) {
    watchdog(120);
    int before = descriptors();
    CASE(null_group);
    CASE(foreign_handles);
    CASE(missing_functions);
    CASE(wrong_size);
    CASE(bad_names);
    CASE(bad_stacks);
    CASE(bad_signals);
    CASE(bad_settings);
    CASE(bad_reports);
    CASE(bad_summaries);
    CASE(after_run);
    CASE(from_own_actors);
    CASE(freed_while_running);
    CASE(completed_twice);
    CASE(not_completed_before_run);
    CASE(bad_driving);
    CHECK_INT(descriptors(), before);
    await_threads(1);
    return finish("bad_input");
}
