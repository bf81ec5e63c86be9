/* A host that drives a group: the six rg_drive_ functions. */
#include "process.h"

static rg_group *driven(size_t actors, int order) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, order), 0);
    for (size_t i = 0; i < actors; i++)
        CHECK_INT(rg_drive_add(group, NULL), 0);
    return group;
}

static int64_t next_is(rg_group *group, int wanted) {
    int64_t value = 42;
    CHECK_INT(rg_drive_next(group, &value), wanted);
    return value;
}

static void returns(rg_group *group, size_t index, int code) {
    CHECK(rg_drive_return(group, index, code, NULL) >= 0);
}

static void each_order(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_STAGED; order++) {
        rg_group *group = driven(3, order);
        CHECK_INT(rg_drive_begin(group), 0);
        CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
        CHECK_INT(rg_drive_return(group, 1, 7, "enough"), RG_DRIVE_WAKE);
        CHECK_INT(rg_stopping(group), 1);
        for (int i = 0; i < 3; i++) {
            size_t index = (size_t)(order == RG_ORDER_ADDED ? i : 2 - i);
            CHECK_INT(next_is(group, RG_STEP_INTERRUPT), (int)index);
            CHECK_INT(next_is(group, RG_STEP_WAIT), -1); /* one after another */
            CHECK_INT(rg_drive_interrupted(group, index, NULL), RG_DRIVE_WAKE);
            if (order == RG_ORDER_STAGED && index != 1) {
                CHECK_INT(next_is(group, RG_STEP_WAIT), -1); /* until it has returned */
                CHECK_INT(rg_drive_return(group, index, 0, NULL), RG_DRIVE_WAKE);
            }
        }
        if (order != RG_ORDER_STAGED) {
            CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
            CHECK_INT(rg_drive_return(group, 0, 0, NULL), 0); /* it waits for the last */
            CHECK_INT(rg_drive_return(group, 2, 0, NULL), RG_DRIVE_WAKE);
        }
        CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
        CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
        rg_free(group);
    }
}

/* Freed at once: the late posts are valid, and the last one frees the rest. */
static void late_posts(void) {
    for (int last = 0; last < 2; last++) {
        rg_group *group = driven(2, RG_ORDER_ADDED);
        CHECK_INT(rg_set_grace(group, 0), 0);
        CHECK_INT(rg_drive_begin(group), 0);
        returns(group, 0, 7);
        int64_t value = 0;
        int step;
        while ((step = rg_drive_next(group, &value)) == RG_STEP_INTERRUPT) {
        }
        CHECK_INT(step, RG_STEP_FINISH);
        CHECK_INT(value, RG_ETIMEDOUT);
        CHECK_INT(report_of(group, 0).stuck, RG_STUCK_INTERRUPT);
        CHECK_INT(report_of(group, 1).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
        rg_free(group);
        CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
        if (last)
            returns(group, 1, 0);
        CHECK(rg_drive_interrupted(group, 1, "late") >= 0);
        if (!last)
            returns(group, 1, 0);
    }
}

/* ---- posts from many threads ----------------------------------------------------- */

enum { HOSTED = 16 };

typedef struct hosted {
    rg_group *group;
    size_t index;
    pthread_t thread;
} hosted;

static void *wait_and_return(void *argument) {
    hosted *self = argument;
    if (self->index != 3)
        rg_wait_stop(self->group, -1);
    rg_drive_return(self->group, self->index, (int)self->index, "said");
    return NULL;
}

static int wait_for_stop(void *group) { return rg_wait_stop(group, -1) == 1 ? 5 : 6; }

static rg_completion *completion;
static void keep(rg_completion *done, void *userdata) {
    (void)userdata;
    completion = done;
}
static void complete(const rg_cause *cause, void *userdata) {
    (void)userdata;
    CHECK_INT(rg_complete(completion, cause->code + 1, "completed"), 0);
}

static void sees_times_that_fit(const rg_group *group, size_t count) {
    rg_summary summary;
    memset(&summary, 0, sizeof summary);
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    for (size_t i = 0; i < count; i++) {
        rg_actor_report report = report_of(group, i);
        CHECK(report.returned_ns >= summary.stopping_ns);
        CHECK(report.interrupting_ns >= summary.stopping_ns);
        CHECK(report.interrupted_ns >= report.interrupting_ns);
        CHECK(report.returned_ns <= summary.end_ns);
        CHECK(report.interrupted_ns <= summary.end_ns);
    }
}

/* Driven actors, one of a thread and an async one; all times of the report fit. */
static void mixed(void) {
    for (int round = 0; round < 3000; round++) {
        rg_group *group = driven(HOSTED, round % 3);
        CHECK_INT(rg_set_grace(group, round % 2 ? 60000 : -1), 0);
        CHECK_INT(rg_add(group, wait_for_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_add_async(group, "async", keep, complete, NULL, NULL), 0);
        CHECK_INT(rg_drive_begin(group), 0);
        hosted actors[HOSTED];
        for (size_t i = 0; i < HOSTED; i++) {
            actors[i].group = group;
            actors[i].index = i;
            CHECK_INT(
                pthread_create(&actors[i].thread, NULL, wait_and_return, &actors[i]), 0);
        }
        struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
        int64_t value;
        int step;
        while ((step = rg_drive_next(group, &value)) != RG_STEP_FINISH) {
            if (step == RG_STEP_INTERRUPT)
                CHECK(rg_drive_interrupted(group, (size_t)value, NULL) >= 0);
            else
                poll(&wake, 1, value < 0 ? -1 : (int)(value / MILLISECOND) + 1);
        }
        CHECK_INT(value, 3);
        sees_times_that_fit(group, HOSTED + 2);
        CHECK_INT(report_of(group, HOSTED).code, 5);
        CHECK_STR(report_of(group, HOSTED + 1).message, "completed");
        for (size_t i = 0; i < HOSTED; i++) {
            pthread_join(actors[i].thread, NULL);
            CHECK_INT(report_of(group, i).code, (int)i);
            CHECK_STR(report_of(group, i).message, "said");
        }
        rg_free(group);
    }
    await_threads(1);
}

static void refused(void) {
    rg_group *group = driven(2, RG_ORDER_ADDED);
    int64_t value = 42;
    CHECK_INT(rg_drive_next(group, &value), RG_ESTATE);
    CHECK_INT(rg_drive_return(group, 0, 7, NULL), RG_ESTATE);
    CHECK_INT(rg_run(group), RG_ESTATE);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_drive_begin(group), RG_ESTATE);
    CHECK_INT(rg_drive_add(group, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_next(group, NULL), RG_EINVAL);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    CHECK_INT(rg_drive_return(group, 2, 7, NULL), RG_EINVAL);
    CHECK_INT(rg_drive_interrupted(group, (size_t)-1, NULL), RG_EINVAL);
    CHECK_INT(rg_stopping(group), 0);
    returns(group, 0, 7);
    CHECK_INT(rg_drive_return(group, 0, 7, NULL), RG_ESTATE);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(next_is(group, RG_STEP_INTERRUPT), i);
        CHECK(rg_drive_interrupted(group, (size_t)i, NULL) >= 0);
        CHECK_INT(rg_drive_interrupted(group, (size_t)i, NULL), RG_ESTATE);
    }
    returns(group, 1, 0);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
    rg_free(group);

    group = rg_new();
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(rg_drive_next(group, &value), RG_ESTATE);
    CHECK_INT(rg_drive_return(group, 0, 7, NULL), RG_ESTATE);
    rg_free(group);
}

static int64_t end_ns(rg_group *group) {
    rg_summary summary;
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    return summary.end_ns;
}

/* Whoever runs it once more is refused, and the run's clock goes on. */
static void a_refused_run_leaves_the_clock(void) {
    rg_group *group = driven(1, RG_ORDER_ADDED);
    CHECK_INT(rg_drive_begin(group), 0);
    int64_t before;
    do
        before = end_ns(group);
    while (before < 20 * MILLISECOND);
    CHECK_INT(rg_drive_begin(group), RG_ESTATE);
    CHECK_INT(rg_start(group), RG_ESTATE);
    CHECK(end_ns(group) >= before);
    returns(group, 0, 7);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
    CHECK(end_ns(group) >= before);
    rg_free(group);
}

/* The library's text of a group, and of what was kept of it, are the same. */
static void a_kept_report(void) {
    rg_group *group = driven(1, RG_ORDER_REVERSE);
    CHECK_INT(rg_drive_add(group, "named"), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_drive_return(group, 1, 3, "enough"), 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 1);
    CHECK_INT(rg_drive_interrupted(group, 1, "it jams"), 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), 0);
    returns(group, 0, 2);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 3);
    rg_summary summary;
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    CHECK_INT(summary.cause_index, 1);
    CHECK_STR(summary.cause_message, "enough");
    CHECK(summary.started_ns >= 0 && summary.end_ns >= summary.stopping_ns);
    rg_actor_report actors[2];
    for (size_t i = 0; i < 2; i++)
        actors[i] = report_of(group, i);
    actors[0].name = NULL; /* its own is made anew */
    for (int format = RG_FORMAT_TEXT; format <= RG_FORMAT_TRACE; format++) {
        char whole[2000], kept[2000];
        size_t length = rg_format_report(group, format, whole, sizeof whole);
        CHECK_INT(rg_format_summary(&summary, actors, 2, format, kept, sizeof kept),
                  length);
        CHECK_STR(kept, whole);
    }
    CHECK_INT(rg_format_summary(NULL, actors, 2, RG_FORMAT_TEXT, NULL, 0), 0);
    CHECK_INT(rg_format_summary(&summary, NULL, 2, RG_FORMAT_TEXT, NULL, 0), 0);
    summary.size = 1;
    CHECK_INT(rg_get_summary(group, &summary), RG_EINVAL);
    CHECK_INT(rg_get_summary(group, NULL), RG_EINVAL);
    rg_free(group);
}

static void listens(void) {
    const int signal = SIGUSR2;
    CHECK_INT(rg_listens(signal), 0);
    CHECK_INT(rg_listens(-1) + rg_listens(0) + rg_listens(1 << 20), 0);
    rg_group *group = driven(1, RG_ORDER_ADDED);
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    CHECK_INT(rg_listens(signal), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_listens(signal), 1);
    CHECK_INT(rg_listens(SIGUSR1), 0);
    CHECK_INT(rg_stop(group, 1), 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
    returns(group, 0, 0);
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    int64_t value;
    while (rg_drive_next(group, &value) == RG_STEP_WAIT) {
        CHECK_INT(rg_listens(signal), 1);
        poll(&wake, 1, -1);
    }
    CHECK_INT(rg_listens(signal), 0);
    rg_free(group);
}

int main(void) {
    watchdog(120);
    CASE(each_order);
    CASE(late_posts);
    CASE(mixed);
    CASE(refused);
    CASE(a_refused_run_leaves_the_clock);
    CASE(a_kept_report);
    CASE(listens);
    return finish("drive");
}
