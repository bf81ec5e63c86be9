/* It ends: whatever is stuck, the run returns within its grace, says who is
 * stuck and in what, and frees nothing that may still be used (rules 10, 11).
 * argv[1]: how many milliseconds later than the grace is in time (50). */
#include "check.h"

#include <poll.h>

#define ACTORS 50
#define GRACE_MS 1000

enum { STUCK_EXECUTE = 7, STUCK_INTERRUPT = 21, STUCK_BOTH = 33, LAST_STUCK = 49 };

static int slack_ms = 50;
static int64_t worst_ns;

typedef struct party {
    rg_group *group;
    int64_t stopped_at;
    gate all_started, freedom, released;
    int order[ACTORS], interrupts;
    int released_each[ACTORS];
} party;

typedef struct member {
    party *party;
    int index;
} member;

static int stuck_bits(int index) {
    switch (index) {
    case STUCK_EXECUTE:
    case LAST_STUCK:
        return RG_STUCK_EXECUTE;
    case STUCK_INTERRUPT:
        return RG_STUCK_INTERRUPT;
    case STUCK_BOTH:
        return RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT;
    default:
        return 0;
    }
}

static int execute(void *userdata) {
    member *self = userdata;
    party *party = self->party;
    gate_pass(&party->all_started);
    if (self->index == 0) {
        gate_await(&party->all_started, ACTORS);
        party->stopped_at = now_ns();
        return rg_fail(7, "enough");
    }
    if (stuck_bits(self->index) & RG_STUCK_EXECUTE)
        gate_await(&party->freedom, 1);
    else
        rg_wait_stop(party->group, -1);
    return self->index;
}

static void interrupt(const rg_cause *cause, void *userdata) {
    member *self = userdata;
    party *party = self->party;
    CHECK_INT(cause->code, 7);
    party->order[__sync_fetch_and_add(&party->interrupts, 1)] = self->index;
    if (stuck_bits(self->index) & RG_STUCK_INTERRUPT)
        gate_await(&party->freedom, 1);
}

static void release(void *userdata) {
    member *self = userdata;
    __sync_fetch_and_add(&self->party->released_each[self->index], 1);
    gate_pass(&self->party->released);
}

static void in_time(int64_t stopped_at, int grace_ms) {
    int64_t took = now_ns() - stopped_at;
    int64_t over = took - (int64_t)grace_ms * 1000000;
    if (over > worst_ns)
        worst_ns = over;
    CHECK(over >= 0);
    CHECK(over <= slack_ms * (int64_t)1000000);
}

static void stuck_party(int order, int by_start) {
    static member members[ACTORS];
    party *party = calloc(1, sizeof *party);
    *party = (struct party){
        .all_started = GATE_INIT, .freedom = GATE_INIT, .released = GATE_INIT};
    rg_group *group = party->group = rg_new();
    CHECK_INT(rg_set_grace(group, GRACE_MS), 0);
    CHECK_INT(rg_set_order(group, order), 0);
    for (int i = 0; i < ACTORS; i++) {
        members[i] = (member){party, i};
        rg_actor actor;
        memset(&actor, 0, sizeof actor);
        actor.size = sizeof actor;
        actor.execute = execute;
        actor.interrupt = interrupt;
        actor.userdata = &members[i];
        actor.release = release;
        CHECK_INT(rg_add_actor(group, &actor), 0);
    }
    int code = 0;
    if (by_start) {
        CHECK_INT(rg_start(group), 0);
        struct pollfd done = {rg_done_fd(group), POLLIN, 0};
        CHECK_INT(poll(&done, 1, -1), 1);
        in_time(party->stopped_at, GRACE_MS);
        CHECK_INT(rg_wait(group, 0, &code), 1);
    } else {
        code = rg_run(group);
        in_time(party->stopped_at, GRACE_MS);
    }
    CHECK_INT(code, RG_ETIMEDOUT);
    CHECK_INT(rg_get_cause(group)->code, 7);
    CHECK_INT(rg_get_cause(group)->index, 0);
    CHECK_STR(rg_get_cause(group)->message, "enough");

    /* Each interrupt was called, in order. */
    CHECK_INT(__sync_fetch_and_add(&party->interrupts, 0), ACTORS);
    for (int i = 0; i < ACTORS; i++)
        CHECK_INT(party->order[i], order == RG_ORDER_ADDED ? i : ACTORS - 1 - i);

    /* The report names the stuck ones, and nobody else. */
    static char text[1 << 16];
    size_t length = rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text);
    CHECK(length < sizeof text);
    for (int i = 0; i < ACTORS; i++) {
        rg_actor_report report = report_of(group, i);
        CHECK_INT(report.stuck, stuck_bits(i));
        CHECK_INT(report.state,
                  report.stuck & RG_STUCK_EXECUTE ? RG_STATE_RUNNING : RG_STATE_RETURNED);
        char line[64];
        snprintf(line, sizeof line, "STUCK \"actor-%d\"", i);
        CHECK((strstr(text, line) != NULL) == (report.stuck != 0));
    }

    rg_free(group);
    CHECK_INT(gate_count(&party->released), 0);
    gate_pass(&party->freedom);
    gate_await(&party->released, ACTORS);
    await_threads(1);
    for (int i = 0; i < ACTORS; i++)
        CHECK_INT(party->released_each[i], 1);
    free(party);
}

static void as_added(void) { stuck_party(RG_ORDER_ADDED, 0); }
static void reverse(void) { stuck_party(RG_ORDER_REVERSE, 0); }
static void staged(void) { stuck_party(RG_ORDER_STAGED, 0); }
static void by_start(void) { stuck_party(RG_ORDER_ADDED, 1); }

/* ---- every interrupt stuck ----------------------------------------------------------
 */

typedef struct tiny {
    gate freedom, released, called;
} tiny;

static void stick(const rg_cause *cause, void *userdata) {
    (void)cause;
    tiny *tiny = userdata;
    gate_pass(&tiny->called);
    gate_await(&tiny->freedom, 1);
}

static void tiny_release(void *userdata) { gate_pass(&((tiny *)userdata)->released); }

static int stick_execute(void *userdata) {
    gate_await(&((tiny *)userdata)->freedom, 1);
    return 0;
}

static void add_tiny(rg_group *group, rg_interrupt_fn interrupt, tiny *userdata) {
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = stick_execute;
    actor.interrupt = interrupt;
    actor.userdata = userdata;
    actor.release = tiny_release;
    CHECK_INT(rg_add_actor(group, &actor), 0);
}

static void all_stuck(void) {
    tiny tiny = {GATE_INIT, GATE_INIT, GATE_INIT};
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 200), 0);
    for (int i = 0; i < 10; i++) {
        add_tiny(group, stick, &tiny);
    }
    CHECK_INT(rg_start(group), 0);
    int64_t stopped_at = now_ns();
    CHECK_INT(rg_stop(group, 9), 0);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    in_time(stopped_at, 200);
    CHECK_INT(code, RG_ETIMEDOUT);
    gate_await(&tiny.called, 10); /* a moment after it was posted */
    for (int i = 0; i < 10; i++)
        CHECK_INT(report_of(group, i).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
    rg_free(group);
    CHECK_INT(gate_count(&tiny.released), 0);
    gate_pass(&tiny.freedom);
    gate_await(&tiny.released, 10);
    await_threads(1);
}

static void no_grace_at_all(void) {
    tiny tiny = {GATE_INIT, GATE_INIT, GATE_INIT};
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 0), 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, stick_execute, stick, &tiny), 0);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    rg_free(group);
    gate_pass(&tiny.freedom);
    await_threads(1);
}

/* ---- they return between the run's end and rg_free
 * ------------------------------------- */

static void returned_before_free(void) {
    tiny tiny = {GATE_INIT, GATE_INIT, GATE_INIT};
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 50), 0);
    add_tiny(group, stick, &tiny);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    gate_pass(&tiny.freedom);
    await_threads(1);
    CHECK_INT(gate_count(&tiny.released), 0);
    CHECK_INT(report_of(group, 0).stuck, RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT);
    CHECK_INT(report_of(group, 0).state, RG_STATE_RUNNING);
    CHECK_INT(report_of(group, 0).returned_ns, -1);
    CHECK_INT(report_of(group, 0).interrupted_ns, -1);
    rg_free(group);
    CHECK_INT(gate_count(&tiny.released), 1);
}

/* Both at once: release runs once, whoever comes last. */
static void returned_during_free(void) {
    for (int round = 0; round < 200; round++) {
        tiny tiny = {GATE_INIT, GATE_INIT, GATE_INIT};
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, 0), 0);
        add_tiny(group, rg_interrupt_none, &tiny);
        CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
        CHECK_INT(rg_run(group), RG_ETIMEDOUT);
        gate_pass(&tiny.freedom);
        rg_free(group);
        await_threads(1);
        CHECK_INT(gate_count(&tiny.released), 1);
    }
}

/* ---- an async actor that completes much later
 * --------------------------------------------- */

static rg_completion *kept_done;

static void keep_done(rg_completion *done, void *userdata) {
    (void)userdata;
    kept_done = done;
}

static void count_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    gate_pass(&((tiny *)userdata)->called);
}

static void async_stuck(void) {
    for (int free_first = 0; free_first < 2; free_first++) {
        tiny tiny = {GATE_INIT, GATE_INIT, GATE_INIT};
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, 100), 0);
        CHECK_INT(
            rg_add_async(group, "loop", keep_done, count_interrupt, &tiny, tiny_release),
            0);
        CHECK_INT(rg_start(group), 0);
        int64_t stopped_at = now_ns();
        CHECK_INT(rg_stop(group, 9), 0);
        int code = 0;
        CHECK_INT(rg_wait(group, -1, &code), 1);
        in_time(stopped_at, 100);
        CHECK_INT(code, RG_ETIMEDOUT);
        gate_await(&tiny.called, 1);
        CHECK_INT(report_of(group, 0).stuck, RG_STUCK_EXECUTE);
        if (free_first)
            rg_free(group);
        CHECK_INT(gate_count(&tiny.released), 0);
        CHECK_INT(rg_complete(kept_done, 5, "late"), 0);
        CHECK_INT(gate_count(&tiny.released), free_first);
        if (!free_first)
            rg_free(group);
        CHECK_INT(gate_count(&tiny.released), 1);
        await_threads(1);
    }
}

/* Stuck in something else when the host frees the group, it then looks at its group
 * again, as an actor does. */
typedef struct late {
    rg_group *group;
    gate freedom, released;
    int saw[6];
} late;

static int look_at_the_group(void *userdata) {
    late *self = userdata;
    rg_group *group = self->group;
    gate_await(&self->freedom, 1);
    struct pollfd stop = {rg_stop_fd(group), POLLIN, 0};
    self->saw[0] = rg_stopping(group);
    self->saw[1] = rg_wait_stop(group, -1);
    self->saw[2] = rg_stop(group, 9);
    self->saw[3] = rg_get_cause(group)->code;
    self->saw[4] = rg_add(group, return_seven, rg_interrupt_none, NULL);
    self->saw[5] = poll(&stop, 1, 0);
    return 0;
}

static void late_release(void *userdata) { gate_pass(&((late *)userdata)->released); }

static void stuck_actors_may_use_the_group(void) {
    late late = {.freedom = GATE_INIT, .released = GATE_INIT};
    rg_group *group = late.group = rg_new();
    CHECK_INT(rg_set_grace(group, 0), 0);
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = look_at_the_group;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = &late;
    actor.release = late_release;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_stop(group, 3), 0);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, RG_ETIMEDOUT);
    rg_free(group);
    CHECK_INT(gate_count(&late.released), 0);
    gate_pass(&late.freedom);
    gate_await(&late.released, 1);
    await_threads(1);
    const int seen[] = {1, 1, 0, 3, RG_ESTATE, 1};
    for (int i = 0; i < 6; i++)
        CHECK_INT(late.saw[i], seen[i]);
}

/* ---- a grace that is long -----------------------------------------------------------
 */

static int return_a_little_later(void *group) {
    CHECK_INT(rg_wait_stop(group, -1), 1);
    int64_t until = now_ns() + 20 * 1000000;
    while (now_ns() < until)
        sched_yield();
    return 3;
}

/* Notices milliseconds that wrap when they become nanoseconds, to a short grace, or to
 * none: so long a grace is a long one. */
static void long_graces(void) {
    const int64_t most = INT64_MAX / 1000000;
    const int64_t graces[] = {most - 1,       most,           most + 1,
                              2 * most,       2 * most + 1,   2 * most + 2,
                              2 * most + 100, 18446744073709, 18446744073710,
                              INT64_MAX / 2,  INT64_MAX - 1,  INT64_MAX};
    for (size_t i = 0; i < sizeof graces / sizeof *graces; i++)
        for (int order = RG_ORDER_ADDED; order <= RG_ORDER_STAGED; order++) {
            rg_group *group = rg_new();
            CHECK_INT(rg_set_grace(group, graces[i]), 0);
            CHECK_INT(rg_set_order(group, order), 0);
            CHECK_INT(rg_add(group, return_a_little_later, rg_interrupt_none, group), 0);
            CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
            rg_summary summary;
            summary.size = sizeof summary;
            CHECK_INT(rg_get_summary(group, &summary), 0);
            CHECK(summary.grace_ns == -1 || summary.grace_ns >= (most - 1) * 1000000);
            CHECK_INT(rg_run(group), 7);
            CHECK_INT(report_of(group, 0).code, 3);
            CHECK_INT(report_of(group, 0).stuck, 0);
            rg_free(group);
        }
}

/* Its thread goes on for a moment after it has returned, with what is the group's. */
static void a_signal_actor_let_go(void) {
    int signal = SIGUSR1;
    for (int i = 0; i < 1000; i++) {
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, 0), 0);
        CHECK_INT(rg_add_signals(group, &signal, 1), 0);
        CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
        int code = rg_run(group);
        CHECK(code == 7 || code == RG_ETIMEDOUT);
        for (int j = 0; j < i % 50; j++)
            report_of(group, 0);
        rg_free(group);
    }
    await_threads(1);
}

int main(int count, char **arguments) {
    if (count > 1)
        slack_ms = atoi(arguments[1]);
    watchdog(120);
    int before = descriptors();
    CASE(as_added);
    CASE(reverse);
    CASE(staged);
    CASE(by_start);
    CASE(all_stuck);
    CASE(no_grace_at_all);
    CASE(returned_before_free);
    CASE(returned_during_free);
    CASE(async_stuck);
    CASE(stuck_actors_may_use_the_group);
    CASE(long_graces);
    CASE(a_signal_actor_let_go);
    CHECK_INT(descriptors(), before);
    printf("stuck: at most %.2f ms after the grace\n", (double)worst_ns / 1e6);
    return finish("stuck");
}
