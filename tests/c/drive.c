/* A host that drives a group: what it is told, in what order, and when its driver
 * must be woken. */
#include "check.h"

#include <poll.h>

static rg_group *driven(int actors, int order) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, order), 0);
    for (int i = 0; i < actors; i++)
        CHECK_INT(rg_drive_add(group, NULL), 0);
    return group;
}

static int64_t next_is(rg_group *group, int wanted) {
    int64_t value = 42;
    CHECK_INT(rg_drive_next(group, &value), wanted);
    return value;
}

/* Until there is another step than a wait; then that one. */
static int64_t awaited_is(rg_group *group, int wanted) {
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    int64_t value = 42;
    int step;
    while ((step = rg_drive_next(group, &value)) == RG_STEP_WAIT)
        CHECK(poll(&wake, 1, value < 0 ? -1 : (int)(value / 1000000) + 1) >= 0);
    CHECK_INT(step, wanted);
    return value;
}

static void each_order(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_STAGED; order++) {
        rg_group *group = driven(3, order);
        CHECK_INT(rg_drive_begin(group), 0);
        CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
        CHECK_INT(rg_stopping(group), 0);
        /* The first return begins the stop, whoever looks. */
        CHECK_INT(rg_drive_return(group, 1, 7, NULL), RG_DRIVE_WAKE);
        CHECK_INT(rg_stopping(group), 1);
        for (int i = 0; i < 3; i++) {
            int index = order == RG_ORDER_ADDED ? i : 2 - i;
            CHECK_INT(next_is(group, RG_STEP_INTERRUPT), index);
            CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
            CHECK_INT(rg_drive_interrupted(group, (size_t)index, NULL), RG_DRIVE_WAKE);
            if (order == RG_ORDER_STAGED && index != 1) {
                CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
                CHECK_INT(rg_drive_return(group, (size_t)index, 0, NULL), RG_DRIVE_WAKE);
            }
        }
        if (order != RG_ORDER_STAGED) {
            /* Only the last has something new to say. */
            CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
            CHECK_INT(rg_drive_return(group, 2, 3, NULL), 0);
            CHECK_INT(rg_drive_return(group, 0, 3, NULL), RG_DRIVE_WAKE);
        }
        CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
        CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
        rg_free(group);
    }
}

/* Posts that nobody waits for wake nobody, and are seen at the next look. */
static void all_before_the_next_look(void) {
    rg_group *group = driven(3, RG_ORDER_ADDED);
    CHECK_INT(rg_drive_begin(group), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(rg_drive_return(group, 2 - i, (int)i, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(next_is(group, RG_STEP_INTERRUPT), i);
        CHECK_INT(rg_drive_interrupted(group, (size_t)i, NULL), 0);
    }
    CHECK_INT(next_is(group, RG_STEP_FINISH), 0);
    CHECK_INT(rg_get_cause(group)->index, 2);
    rg_free(group);
}

static gate released;

static void pass_released(void *userdata) { gate_pass(userdata); }

/* Freed at once; the host's reports come later, and the last one ends it all. */
static void freed_before_the_stuck_report(void) {
    for (int last_is_return = 0; last_is_return < 2; last_is_return++) {
        int before = descriptors();
        rg_group *group = rg_new();
        rg_actor actor;
        memset(&actor, 0, sizeof actor);
        actor.size = sizeof actor;
        actor.execute = return_seven;
        actor.interrupt = rg_interrupt_none;
        actor.userdata = &released;
        actor.release = pass_released;
        released = (gate)GATE_INIT;
        CHECK_INT(rg_add_actor(group, &actor), 0);
        CHECK_INT(rg_drive_add(group, "one"), 0);
        CHECK_INT(rg_drive_add(group, "two"), 0);
        CHECK_INT(rg_set_grace(group, 300), 0);
        CHECK_INT(rg_drive_begin(group), 0);
        CHECK(rg_drive_fd(group) >= 0);
        CHECK_INT(awaited_is(group, RG_STEP_INTERRUPT), 1);
        CHECK_INT(awaited_is(group, RG_STEP_INTERRUPT), 2);
        CHECK_INT(awaited_is(group, RG_STEP_FINISH), RG_ETIMEDOUT);
        CHECK_INT(report_of(group, 0).stuck, 0);
        for (size_t i = 1; i < 3; i++)
            CHECK_INT(report_of(group, i).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
        rg_free(group);
        CHECK_INT(gate_count(&released), 0);
        /* Of a run that is over nothing new is said: nobody is to be woken. */
        CHECK_INT(rg_drive_interrupted(group, 2, "late"), 0);
        CHECK_INT(rg_drive_return(group, 1, 3, NULL), 0);
        if (last_is_return) {
            CHECK_INT(rg_drive_interrupted(group, 1, NULL), 0);
            CHECK_INT(gate_count(&released), 0);
            CHECK_INT(rg_drive_return(group, 2, 3, "late"), 0);
        } else {
            CHECK_INT(rg_drive_return(group, 2, 3, "late"), 0);
            CHECK_INT(gate_count(&released), 0);
            CHECK_INT(rg_drive_interrupted(group, 1, "late"), 0);
        }
        /* A thread that the run left behind, since its grace was over, may hold it. */
        gate_await(&released, 1);
        while (descriptors() != before)
            sched_yield();
    }
}

/* The reports come first, then the handle is freed. */
static void stuck_ones_report_before_the_free(void) {
    rg_group *group = driven(1, RG_ORDER_ADDED);
    CHECK_INT(rg_set_grace(group, 0), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK_INT(rg_stop(group, 5), 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK_INT(awaited_is(group, RG_STEP_FINISH), RG_ETIMEDOUT);
    CHECK_INT(rg_drive_return(group, 0, 3, "late"), 0);
    CHECK_INT(rg_drive_interrupted(group, 0, "late"), 0);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_ESTATE);
    /* The report stays as it was. */
    CHECK_INT(report_of(group, 0).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
    CHECK_STR(report_of(group, 0).message, "");
    CHECK_STR(report_of(group, 0).complaint, "");
    CHECK_INT(next_is(group, RG_STEP_FINISH), RG_ETIMEDOUT);
    rg_free(group);
}

static int wait_for_stop(void *group) { return rg_wait_stop(group, -1) == 1 ? 5 : 6; }

/* An actor that the library runs has its turn between those of the host. */
static void mixed(void) {
    rg_group *group = driven(2, RG_ORDER_ADDED);
    CHECK_INT(rg_add(group, wait_for_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_actor_count(group), 4);
    CHECK_INT(rg_drive_begin(group), 0);
    CHECK(rg_drive_return(group, 0, 7, NULL) >= 0);
    CHECK(rg_drive_return(group, 3, 8, NULL) >= 0);
    const int order[] = {0, 1, 3};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(awaited_is(group, RG_STEP_INTERRUPT), order[i]);
        CHECK(rg_drive_interrupted(group, (size_t)order[i], NULL) >= 0);
    }
    CHECK(rg_drive_return(group, 1, 9, NULL) >= 0);
    CHECK_INT(awaited_is(group, RG_STEP_FINISH), 7);
    CHECK_INT(report_of(group, 2).code, 5);
    CHECK(report_of(group, 1).interrupted_ns <= report_of(group, 2).interrupting_ns);
    CHECK(report_of(group, 2).interrupted_ns <= report_of(group, 3).interrupting_ns);
    rg_free(group);
}

static void blocks(const rg_cause *cause, void *gates) {
    (void)cause;
    gate_pass(((gate **)gates)[0]);
    gate_await(((gate **)gates)[1], 1);
}

/* Its interrupt is called by the library, where it blocks without holding up the
 * host's step. */
static void mixed_and_blocked(void) {
    static gate entered = GATE_INIT, freedom = GATE_INIT;
    gate *const gates[2] = {&entered, &freedom};
    rg_group *group = driven(0, RG_ORDER_ADDED);
    CHECK_INT(rg_add(group, return_seven, blocks, (void *)gates), 0);
    CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    int64_t value;
    while (gate_count(&entered) == 0)
        CHECK_INT(rg_drive_next(group, &value), RG_STEP_WAIT);
    CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
    gate_pass(&freedom);
    CHECK_INT(awaited_is(group, RG_STEP_INTERRUPT), 1);
    CHECK(rg_drive_interrupted(group, 1, NULL) >= 0);
    CHECK(rg_drive_return(group, 1, 0, NULL) >= 0);
    CHECK_INT(awaited_is(group, RG_STEP_FINISH), 7);
    rg_free(group);
}

/* A host that polls the descriptor need not look at what the reports give. */
static void by_the_descriptor_alone(void) {
    rg_group *group = driven(1, RG_ORDER_ADDED);
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    CHECK_INT(rg_drive_fd(group), wake.fd);
    CHECK_INT(rg_drive_begin(group), 0);
    next_is(group, RG_STEP_WAIT);
    CHECK_INT(poll(&wake, 1, 0), 0);
    CHECK_INT(rg_drive_return(group, 0, 7, NULL), RG_DRIVE_WAKE);
    CHECK_INT(poll(&wake, 1, 0), 1);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK_INT(next_is(group, RG_STEP_WAIT), -1);
    CHECK_INT(poll(&wake, 1, 0), 0);
    CHECK_INT(rg_drive_interrupted(group, 0, NULL), RG_DRIVE_WAKE);
    CHECK_INT(poll(&wake, 1, 0), 1);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 7);
    CHECK_INT(poll(&wake, 1, 0), 0);
    rg_free(group);
}

static void *reports(void *group) {
    for (size_t i = 0; i < 64; i++) {
        int result = rg_drive_return(group, i, (int)i, NULL);
        CHECK(result == 0 || result == RG_DRIVE_WAKE || result == RG_ESTATE);
    }
    return NULL;
}

/* Each actor's return is taken once, whoever else reports it. */
static void reported_by_many(void) {
    for (int round = 0; round < 50; round++) {
        rg_group *group = driven(64, RG_ORDER_REVERSE);
        CHECK_INT(rg_drive_begin(group), 0);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, reports, group), 0);
        for (int i = 63; i >= 0; i--) {
            CHECK_INT(awaited_is(group, RG_STEP_INTERRUPT), i);
            CHECK(rg_drive_interrupted(group, (size_t)i, NULL) >= 0);
        }
        int64_t code = awaited_is(group, RG_STEP_FINISH);
        for (int i = 0; i < 4; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        CHECK_INT(rg_get_cause(group)->index, code);
        for (size_t i = 0; i < 64; i++)
            CHECK_INT(report_of(group, i).code, i);
        rg_free(group);
    }
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
    CHECK(rg_drive_return(group, 0, 7, NULL) >= 0);
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
    CHECK(rg_drive_return(group, 1, 3, "enough") >= 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 1);
    CHECK(rg_drive_interrupted(group, 1, "it jams") >= 0);
    CHECK_INT(next_is(group, RG_STEP_INTERRUPT), 0);
    CHECK(rg_drive_interrupted(group, 0, NULL) >= 0);
    CHECK(rg_drive_return(group, 0, 2, NULL) >= 0);
    CHECK_INT(next_is(group, RG_STEP_FINISH), 3);
    rg_summary summary;
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    CHECK_INT(summary.cause_index, 1);
    CHECK_STR(summary.cause_message, "enough");
    CHECK_INT(summary.observer_stuck, 0);
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
    CASE(each_order);
    CASE(all_before_the_next_look);
    CASE(freed_before_the_stuck_report);
    CASE(stuck_ones_report_before_the_free);
    CASE(mixed);
    CASE(mixed_and_blocked);
    CASE(by_the_descriptor_alone);
    CASE(reported_by_many);
    CASE(a_refused_run_leaves_the_clock);
    CASE(a_kept_report);
#ifndef __SANITIZE_THREAD__ /* which may have a thread of its own */
    await_threads(1);
#endif
    return finish("drive");
}
