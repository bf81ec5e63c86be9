/* Reports that are read later, by a newer program, or by a strict parser. */
#include "check.h"

static char text[1 << 16], text_later[1 << 16];

static void add(rg_group *group, const char *name, rg_execute_fn execute,
                rg_interrupt_fn interrupt, void *userdata) {
    rg_actor actor = actor_of(name, execute, interrupt, userdata);
    CHECK_INT(rg_add_actor(group, &actor), 0);
}

/* ---- a late return ------------------------------------------------------------------
 */

static gate freedom = GATE_INIT;

static int stick(void *userdata) {
    (void)userdata;
    gate_await(&freedom, 1);
    return rg_fail(5, "late");
}

static void stick_in_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_await(&freedom, 1);
    rg_fail(1, "late");
}

static void await_after(int64_t time_ns) {
    while (now_ns() < time_ns)
        sched_yield();
}

/* Notices times that go on after the end: what "ran for" says of a stuck actor, in the
 * text and in the trace, changes neither with time nor by its late return. */
static void late_returns_change_nothing(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 50), 0);
    add(group, "stuck", stick, rg_interrupt_none, NULL);
    add(group, "first", return_seven, rg_interrupt_none, NULL);
    add(group, "stuck in its interrupt", until_stop, stick_in_interrupt, group);
    add(group, "stuck in both", stick, stick_in_interrupt, NULL);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    rg_actor_report before[4];
    rg_summary summary = summary_of(group);
    for (size_t i = 0; i < 4; i++)
        before[i] = report_of(group, i);
    for (int format = RG_FORMAT_TEXT; format <= RG_FORMAT_TRACE; format++) {
        CHECK(rg_format_report(group, format, text, sizeof text) < sizeof text);
        await_after(now_ns() + 20 * 1000000);
        CHECK(rg_format_report(group, format, text_later, sizeof text_later) > 0);
        CHECK_STR(text_later, text);
    }
    static char trace[sizeof text];
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) < sizeof text);
    CHECK(rg_format_report(group, RG_FORMAT_TRACE, trace, sizeof trace) < sizeof trace);
    gate_pass(&freedom);
    await_threads(1);
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text_later, sizeof text_later) > 0);
    CHECK_STR(text_later, text);
    CHECK(rg_format_report(group, RG_FORMAT_TRACE, text_later, sizeof text_later) > 0);
    CHECK_STR(text_later, trace);
    for (size_t i = 0; i < 4; i++) {
        rg_actor_report after = report_of(group, i);
        CHECK_INT(after.stuck, before[i].stuck);
        CHECK_INT(after.state, before[i].state);
        CHECK_INT(after.code, before[i].code);
        CHECK_STR(after.message, before[i].message);
        CHECK_STR(after.complaint, before[i].complaint);
        CHECK_INT(after.returned_ns, before[i].returned_ns);
        CHECK_INT(after.interrupted_ns, before[i].interrupted_ns);
    }
    CHECK_INT(summary_of(group).end_ns, summary.end_ns);
    CHECK_INT(summary_of(group).stopping_ns, summary.stopping_ns);
    rg_free(group);
}

/* ---- sizes of a newer header ----------------------------------------------------------
 */

enum { NEWER = 64 };

/* What the library does not know is left alone, or zero. */
static void check_tail(const unsigned char *tail) {
    for (int i = 0; i < NEWER; i++)
        CHECK(tail[i] == 0x55 || tail[i] == 0);
}

/* Notices a library that refuses a size that is larger than its own: a program that
 * was compiled with a newer header runs with an older library. */
static void newer_programs(void) {
    rg_group *group = rg_new();
    add(group, "named", return_seven, rg_interrupt_none, NULL);
    for (int ran = 0; ran < 2; ran++) {
        const size_t more[] = {1, 8, NEWER};
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
            struct {
                rg_actor_report report;
                unsigned char tail[NEWER];
            } actor;
            memset(&actor, 0x55, sizeof actor);
            actor.report.size = sizeof actor.report + more[i];
            CHECK_INT(rg_get_report(group, 0, &actor.report), 0);
            CHECK_STR(actor.report.name, "named");
            CHECK_INT(actor.report.code, ran ? 7 : 0);
            CHECK_STR(actor.report.complaint, "");
            check_tail(actor.tail);
            struct {
                rg_summary summary;
                unsigned char tail[NEWER];
            } whole;
            memset(&whole, 0x55, sizeof whole);
            whole.summary.size = sizeof whole.summary + more[i];
            CHECK_INT(rg_get_summary(group, &whole.summary), 0);
            CHECK_INT(whole.summary.finished, ran);
            CHECK_INT(whole.summary.code, ran ? 7 : 0);
            CHECK_INT(whole.summary.order, RG_ORDER_ADDED);
            CHECK_INT(whole.summary.grace_ns, -1);
            check_tail(whole.tail);
        }
        if (!ran)
            CHECK_INT(rg_run(group), 7);
    }
    rg_free(group);
}

/* ---- JSON ---------------------------------------------------------------------------
 */

static int fail_with(void *message) { return rg_fail(7, message); }
static void complain(const rg_cause *cause, void *message) {
    (void)cause;
    rg_fail(1, message);
}

static void check_is_json(const char *json) {
    FILE *parser = popen("python3 -m json.tool >/dev/null", "w");
    CHECK(parser != NULL);
    CHECK_INT(fwrite(json, 1, strlen(json), parser), strlen(json));
    CHECK_INT(pclose(parser), 0);
}

/* Notices control characters that are not escaped, the last one (0x1f) too: a strict
 * parser refuses the whole trace. */
static void control_characters(void) {
    for (int c = 1; c <= 0x20; c++) {
        char message[] = {'a', (char)c, 'b', '\0'}, escaped[16];
        rg_group *group = rg_new();
        add(group, message, fail_with, complain, message);
        CHECK_INT(rg_run(group), 7);
        CHECK(rg_format_report(group, RG_FORMAT_TRACE, text, sizeof text) < sizeof text);
        for (const char *at = text; *at != '\0'; at++)
            CHECK((unsigned char)*at >= 0x20 || *at == '\n');
        snprintf(escaped, sizeof escaped, c < 0x20 ? "a\\u%04xb" : "a%cb", c);
        CHECK(c == '\b' || c == '\t' || c == '\n' || c == '\f' || c == '\r' ||
              strstr(text, escaped) != NULL);
        if (c >= 0x1e)
            check_is_json(text);
        rg_free(group);
    }
    char all[0x20 + 1];
    for (int c = 1; c <= 0x20; c++)
        all[c - 1] = (char)c;
    all[0x20] = '\0';
    rg_group *group = rg_new();
    add(group, all, fail_with, complain, all);
    CHECK_INT(rg_run(group), 7);
    CHECK(rg_format_report(group, RG_FORMAT_TRACE, text, sizeof text) < sizeof text);
    check_is_json(text);
    rg_free(group);
}

/* ---- the trace's times
 * ------------------------------------------------------------------
 */

/* The "ts" of the interrupt's event with this phase. */
static double time_of(const char *phase) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"cat\":\"interrupt\",\"ph\":\"%s\"", phase);
    const char *event = strstr(text, wanted);
    CHECK(event != NULL);
    const char *time = strstr(event, "\"ts\":");
    CHECK(time != NULL);
    return strtod(time + 5, NULL);
}

/* Notices an interrupt that ends before it begins: one that had not returned when the
 * run was over lasts until then, and one that began at the very end for no time. */
static void interrupts_end_after_their_begin(void) {
    rg_summary summary;
    memset(&summary, 0, sizeof summary);
    summary.size = sizeof summary;
    summary.finished = summary.stopping = 1;
    summary.code = RG_ETIMEDOUT;
    summary.cause_message = "";
    summary.stopping_ns = 1000000;
    summary.end_ns = 2000000;
    summary.grace_ns = 1000000;
    const int64_t begins[] = {1500000, 2000000, 2500000};
    const int64_t ends[] = {-1, 1000000, 2250000, 3000000};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            for (int stuck = 0; stuck <= RG_STUCK_INTERRUPT;
                 stuck += RG_STUCK_INTERRUPT) {
                rg_actor_report report;
                memset(&report, 0, sizeof report);
                report.size = sizeof report;
                report.state = RG_STATE_RETURNED;
                report.stuck = stuck;
                report.returned_ns = 1000000;
                report.interrupting_ns = begins[i];
                report.interrupted_ns = ends[j];
                CHECK(rg_format_summary(&summary, &report, 1, RG_FORMAT_TRACE, text,
                                        sizeof text) < sizeof text);
                CHECK(time_of("b") == (double)begins[i] / 1000);
                CHECK(time_of("e") >= time_of("b"));
                if (i + j == 0)
                    check_is_json(text);
            }
}

int main(void) {
    watchdog(120);
    CASE(late_returns_change_nothing);
    CASE(newer_programs);
    CASE(control_characters);
    CASE(interrupts_end_after_their_begin);
    await_threads(1);
    return finish("reports");
}
