/* A host that drives a group by whole batches: rg_drive_report and its kin. */
#include "check.h"

#include <poll.h>

static rg_group *driven(size_t actors, int order) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, order), 0);
    CHECK_INT(rg_drive_add_many(group, actors), 0);
    return group;
}

static rg_drive_event event(int kind, size_t index, int code, int64_t time_ns) {
    rg_drive_event made = {index, kind, code, time_ns};
    return made;
}

static int report(rg_group *group, const rg_drive_event *events, size_t count,
                  rg_step *next) {
    memset(next, 0, sizeof *next);
    next->size = sizeof *next;
    return rg_drive_report(group, events, count, 1000, next);
}

static void a_batch_in_each_order(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_STAGED; order++) {
        rg_group *group = driven(3, order);
        rg_step step;
        CHECK_INT(rg_drive_begin(group), 0);
        CHECK_INT(report(group, NULL, 0, &step), RG_STEP_WAIT);
        CHECK_INT(step.wait_ns, -1);
        CHECK_INT(step.returns, 1);
        rg_drive_event first = event(RG_EVENT_RETURNED, 1, 7, 900);
        CHECK_INT(report(group, &first, 1, &step), RG_STEP_INTERRUPT);
        CHECK_INT(rg_stopping(group), 1);
        CHECK_INT(step.first, order == RG_ORDER_ADDED ? 0 : 2);
        CHECK_INT(step.returns, order == RG_ORDER_STAGED ? 0 : 5);
        CHECK_INT(step.cause_index, 1);
        CHECK_INT(step.code, 7);
        if (order == RG_ORDER_STAGED) {
            CHECK_INT(step.last, 2);
            rg_drive_event two[] = {event(RG_EVENT_INTERRUPTED, 2, 0, 1000),
                                    event(RG_EVENT_RETURNED, 2, 0, 1000)};
            CHECK_INT(report(group, two, 1, &step), RG_STEP_WAIT);
            CHECK_INT(step.returns, 1);
            CHECK_INT(report(group, two + 1, 1, &step), RG_STEP_INTERRUPT);
            CHECK_INT(step.first, 1);
            rg_drive_event middle = event(RG_EVENT_INTERRUPTED, 1, 0, 1000);
            CHECK_INT(report(group, &middle, 1, &step), RG_STEP_INTERRUPT);
            rg_drive_event rest[] = {event(RG_EVENT_RETURNED, 0, 0, 1000),
                                     event(RG_EVENT_INTERRUPTED, 0, 0, 1000)};
            CHECK_INT(report(group, rest, 2, &step), RG_STEP_FINISH);
        } else {
            CHECK_INT(step.last, order == RG_ORDER_ADDED ? 2 : 0);
            /* A part of the row alone, by somebody else. */
            rg_drive_event row[] = {event(RG_EVENT_INTERRUPTED, step.first, 0, 950),
                                    event(RG_EVENT_INTERRUPTED, 1, 0, 960),
                                    event(RG_EVENT_RETURNED, 0, 0, 970),
                                    event(RG_EVENT_INTERRUPTED, step.last, 0, 980)};
            CHECK_INT(rg_drive_report(group, row, 2, 1000, NULL), 0);
            CHECK_INT(report(group, row + 2, 2, &step), RG_STEP_WAIT);
            CHECK_INT(step.returns, 1);
            rg_drive_record records[3];
            CHECK_INT(rg_drive_records(group, records, 3), 0);
            CHECK(records[1].interrupting_ns <= records[1].interrupted_ns);
            CHECK_INT(records[2].state, RG_STATE_RUNNING);
            CHECK_INT(records[1].code, 7);
            rg_drive_event last = event(RG_EVENT_RETURNED, 2, 3, 1000);
            CHECK_INT(report(group, &last, 1, &step), RG_STEP_FINISH);
        }
        CHECK_INT(step.code, 7);
        CHECK_INT(step.stuck, 0);
        rg_free(group);
    }
}

static void patience(void) {
    rg_group *group = driven(3, RG_ORDER_ADDED);
    rg_step step;
    CHECK_INT(rg_drive_begin(group), 0);
    rg_drive_event first = event(RG_EVENT_RETURNED, 0, 7, 900);
    CHECK_INT(report(group, &first, 1, &step), RG_STEP_INTERRUPT);
    rg_drive_event row[] = {event(RG_EVENT_INTERRUPTED, 0, 0, 950),
                            event(RG_EVENT_INTERRUPTED, 1, 0, 960),
                            event(RG_EVENT_INTERRUPTED, 2, 0, 970)};
    CHECK_INT(report(group, row, 3, &step), RG_STEP_WAIT);
    CHECK_INT(step.returns, 2);
    rg_drive_event rest[] = {event(RG_EVENT_RETURNED, 2, 0, 980),
                             event(RG_EVENT_RETURNED, 1, 0, 990)};
    CHECK_INT(report(group, rest, 2, &step), RG_STEP_FINISH);
    rg_free(group);
}

static void stuck_ones_report_late(void) {
    rg_group *group = driven(2, RG_ORDER_ADDED);
    rg_step step;
    CHECK_INT(rg_set_grace(group, 0), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    rg_drive_event first = event(RG_EVENT_RETURNED, 0, 7, 1000);
    int kind = report(group, &first, 1, &step);
    for (; kind == RG_STEP_INTERRUPT; kind = report(group, NULL, 0, &step)) {
        CHECK_INT(step.first, step.last);
        CHECK_INT(step.returns, 0); /* the grace goes on */
    }
    CHECK_INT(kind, RG_STEP_FINISH);
    CHECK_INT(step.code, RG_ETIMEDOUT);
    CHECK_INT(step.stuck, 3);
    rg_drive_event late[] = {event(RG_EVENT_INTERRUPTED, 0, 0, 1000),
                             event(RG_EVENT_INTERRUPTED, 1, 0, 1000),
                             event(RG_EVENT_RETURNED, 1, 0, 1000)};
    CHECK_INT(report(group, late, 3, &step), RG_STEP_FINISH);
    CHECK_INT(step.stuck, 0);
    rg_free(group);
}

static int wait_for_stop(void *group) { return rg_wait_stop(group, -1) == 1 ? 5 : 6; }

/* An actor that the library runs divides the row. */
static void mixed(void) {
    rg_group *group = driven(2, RG_ORDER_ADDED);
    CHECK_INT(rg_add(group, wait_for_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_drive_add_many(group, 2), 0);
    CHECK_INT(rg_actor_count(group), 5);
    CHECK_INT(rg_drive_begin(group), 0);
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    rg_step step;
    rg_drive_event first = event(RG_EVENT_RETURNED, 0, 7, 900);
    CHECK_INT(report(group, &first, 1, &step), RG_STEP_INTERRUPT);
    CHECK_INT(step.first, 0);
    CHECK_INT(step.last, 1);
    CHECK_INT(step.returns, 0); /* the library has something to do as well */
    rg_drive_event all[] = {
        event(RG_EVENT_INTERRUPTED, 0, 0, 950), event(RG_EVENT_INTERRUPTED, 1, 0, 950),
        event(RG_EVENT_RETURNED, 1, 0, 950), event(RG_EVENT_RETURNED, 3, 0, 950),
        event(RG_EVENT_RETURNED, 4, 0, 950)};
    int kind = report(group, all, 5, &step);
    while (kind == RG_STEP_WAIT) {
        CHECK_INT(step.returns, 1);
        CHECK_INT(poll(&wake, 1, -1), 1);
        kind = report(group, NULL, 0, &step);
    }
    CHECK_INT(kind, RG_STEP_INTERRUPT);
    CHECK_INT(step.first, 3);
    CHECK_INT(step.last, 4);
    rg_drive_event rest[] = {event(RG_EVENT_INTERRUPTED, 3, 0, 950),
                             event(RG_EVENT_INTERRUPTED, 4, 0, 950)};
    kind = report(group, rest, 2, &step);
    while (kind == RG_STEP_WAIT) {
        CHECK_INT(poll(&wake, 1, -1), 1);
        kind = report(group, NULL, 0, &step);
    }
    CHECK_INT(kind, RG_STEP_FINISH);
    CHECK_INT(step.code, 7);
    rg_free(group);
}

/* Of a row that is the last thing to do, all may be reported at once. */
static void from_the_first_return_to_the_end(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_REVERSE; order++) {
        rg_group *group = driven(2, order);
        rg_step step;
        CHECK_INT(rg_drive_begin(group), 0);
        CHECK_INT(rg_stop(group, 9), 0);
        CHECK_INT(report(group, NULL, 0, &step), RG_STEP_INTERRUPT);
        CHECK_INT(step.returns, 4);
        CHECK_INT(step.cause_index, -1);
        CHECK_INT(step.code, 9);
        rg_drive_event all[] = {event(RG_EVENT_RETURNED, step.last, 0, 900),
                                event(RG_EVENT_INTERRUPTED, step.first, 0, 910),
                                event(RG_EVENT_INTERRUPTED, step.last, 0, 920),
                                event(RG_EVENT_RETURNED, step.first, 0, 930)};
        CHECK_INT(report(group, all, 4, &step), RG_STEP_FINISH);
        CHECK_INT(step.code, 9);
        CHECK_INT(step.stuck, 0);
        rg_free(group);
    }
}

/* A row that the host was told at once, reported one after another with texts. */
static void a_row_one_by_one(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_REVERSE; order++) {
        rg_group *group = driven(3, order);
        rg_step step;
        CHECK_INT(rg_drive_begin(group), 0);
        rg_drive_event first = event(RG_EVENT_RETURNED, 1, 7, 900);
        CHECK_INT(report(group, &first, 1, &step), RG_STEP_INTERRUPT);
        const size_t ends[] = {step.first, step.last};
        CHECK_INT(ends[0] + ends[1], 2);
        /* Not called yet, by the order that was told. */
        CHECK_INT(rg_drive_interrupted(group, ends[1], NULL), RG_ESTATE);
        CHECK_INT(rg_drive_interrupted(group, 1, NULL), RG_ESTATE);
        CHECK(rg_drive_interrupted(group, ends[0], "it jams") >= 0);
        CHECK_INT(rg_drive_interrupted(group, ends[0], NULL), RG_ESTATE);
        CHECK(rg_drive_interrupted(group, 1, NULL) >= 0);
        /* The rest in another way. */
        rg_drive_event last = event(RG_EVENT_INTERRUPTED, ends[1], 0, 1000);
        CHECK_INT(report(group, &last, 1, &step), RG_STEP_WAIT);
        CHECK_INT(step.returns, 2);
        rg_drive_record records[3];
        CHECK_INT(rg_drive_records(group, records, 3), 0);
        CHECK(records[ends[0]].interrupted_ns <= records[1].interrupting_ns);
        CHECK(records[1].interrupted_ns <= records[ends[1]].interrupting_ns);
        rg_actor_report actor;
        actor.size = sizeof actor;
        CHECK_INT(rg_get_report(group, ends[0], &actor), 0);
        CHECK_STR(actor.complaint, "it jams");
        rg_drive_event rest[] = {event(RG_EVENT_RETURNED, 0, 0, 1000),
                                 event(RG_EVENT_RETURNED, 2, 0, 1000)};
        CHECK_INT(report(group, rest, 2, &step), RG_STEP_FINISH);
        CHECK_INT(step.code, 7);
        rg_free(group);
    }
}

static void refused(void) {
    rg_group *group = driven(2, RG_ORDER_ADDED);
    rg_step step;
    rg_drive_event good = event(RG_EVENT_RETURNED, 0, 7, 900);
    CHECK_INT(report(group, &good, 1, &step), RG_ESTATE);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_drive_add_many(group, 1), RG_ESTATE);
    rg_drive_event bad[] = {event(RG_EVENT_STOPPED, 0, 7, 900), good};
    CHECK_INT(report(group, bad, 2, &step), RG_EINVAL);
    CHECK_INT(report(group, NULL, 1, &step), RG_EINVAL);
    bad[0] = event(RG_EVENT_RETURNED, 2, 7, 900);
    CHECK_INT(rg_drive_report(group, bad, 1, 0, &step), RG_EINVAL);
    step.size = 1;
    CHECK_INT(rg_drive_report(group, &good, 1, 0, &step), RG_EINVAL);
    CHECK_INT(rg_stopping(group), 0);
    /* One that is refused does not keep the next from being taken. */
    CHECK_INT(report(group, bad, 2, &step), RG_EINVAL);
    CHECK_INT(rg_stopping(group), 1);
    CHECK_INT(report(group, &good, 1, &step), RG_ESTATE);
    rg_drive_record records[3];
    CHECK_INT(rg_drive_records(group, records, 3), RG_EINVAL);
    CHECK_INT(rg_drive_records(group, NULL, 1), RG_EINVAL);
    CHECK_INT(report(group, NULL, 0, &step), RG_STEP_INTERRUPT);
    rg_drive_event all[] = {event(RG_EVENT_INTERRUPTED, 0, 0, 950),
                            event(RG_EVENT_INTERRUPTED, 1, 0, 950),
                            event(RG_EVENT_RETURNED, 1, 0, 950)};
    CHECK_INT(report(group, all, 3, &step), RG_STEP_FINISH);
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
    while (before < 20 * 1000 * 1000);
    CHECK_INT(rg_drive_begin(group), RG_ESTATE);
    CHECK_INT(rg_start(group), RG_ESTATE);
    CHECK(end_ns(group) >= before);
    rg_step step;
    rg_drive_event first = event(RG_EVENT_RETURNED, 0, 7, 1000);
    CHECK_INT(report(group, &first, 1, &step), RG_STEP_INTERRUPT);
    rg_drive_event last = event(RG_EVENT_INTERRUPTED, 0, 0, 1000);
    CHECK_INT(report(group, &last, 1, &step), RG_STEP_FINISH);
    CHECK(end_ns(group) >= before);
    rg_free(group);
}

/* The library's text of a group, and of what was kept of it, are the same. */
static void a_kept_report(void) {
    rg_group *group = driven(1, RG_ORDER_REVERSE);
    CHECK_INT(rg_drive_add(group, "named"), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK(rg_drive_return(group, 1, 3, "enough") > 0);
    rg_step step;
    CHECK_INT(report(group, NULL, 0, &step), RG_STEP_INTERRUPT);
    CHECK_INT(step.last, 0);
    CHECK_INT(rg_drive_interrupted(group, 1, "it jams"), RG_DRIVE_WAKE);
    CHECK_INT(report(group, NULL, 0, &step), RG_STEP_WAIT); /* the row was told */
    rg_drive_event rest[] = {event(RG_EVENT_INTERRUPTED, 0, 0, 1000),
                             event(RG_EVENT_RETURNED, 0, 2, 1000)};
    CHECK_INT(report(group, rest, 2, &step), RG_STEP_FINISH);
    rg_summary summary;
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    CHECK_INT(summary.cause_index, 1);
    CHECK_STR(summary.cause_message, "enough");
    CHECK(summary.started_ns >= 0 && summary.end_ns >= summary.stopping_ns);
    rg_actor_report actors[2];
    for (size_t i = 0; i < 2; i++) {
        actors[i].size = sizeof *actors;
        CHECK_INT(rg_get_report(group, i, &actors[i]), 0);
    }
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

int main(void) {
    watchdog(120);
    CASE(a_batch_in_each_order);
    CASE(patience);
    CASE(stuck_ones_report_late);
    CASE(mixed);
    CASE(from_the_first_return_to_the_end);
    CASE(a_row_one_by_one);
    CASE(refused);
    CASE(a_refused_run_leaves_the_clock);
    CASE(a_kept_report);
    return finish("drive");
}
