/* A program that is built with ThreadSanitizer: the tool sees in which order things
 * happen, and hands on the signals that end a group. Without the tool these are
 * tests like others. */
#include "check.h"

#include <poll.h>

/* What actors hand to each other without a lock, since the library orders it. */
typedef struct {
    rg_group *group;
    rg_completion *completion;
    int said, heard, taken, read;
} Party;

static int says(void *party) {
    ((Party *)party)->said = 42;
    return rg_failf(7, "%s", "said");
}

static int hears(void *party) {
    Party *p = party;
    CHECK_INT(rg_wait_stop(p->group, -1), 1);
    p->heard = p->said;
    return 0;
}

static int reads(void *party) {
    Party *p = party;
    struct pollfd stop = {rg_stop_fd(p->group), POLLIN, 0};
    CHECK_INT(poll(&stop, 1, -1), 1);
    CHECK_INT(rg_stopping(p->group), 1);
    p->read = p->said;
    return 0;
}

static void takes(const rg_cause *cause, void *party) {
    CHECK_STR(cause->message, "said");
    ((Party *)party)->taken = ((Party *)party)->said;
}

static void begins(rg_completion *done, void *party) {
    ((Party *)party)->completion = done;
}

static void completes(const rg_cause *cause, void *party) {
    (void)cause;
    CHECK_INT(rg_complete(((Party *)party)->completion, 3, "completed"), 0);
}

static void what_is_handed_over(void) {
    for (int round = 0; round < 400; round++) {
        Party p = {.group = rg_new()};
        if (round % 2 == 1)
            CHECK_INT(rg_set_grace(p.group, 60000), 0);
        CHECK_INT(rg_add(p.group, hears, rg_interrupt_none, &p), 0);
        CHECK_INT(rg_add(p.group, reads, rg_interrupt_none, &p), 0);
        CHECK_INT(rg_add_async(p.group, "async", begins, completes, &p, NULL), 0);
        CHECK_INT(rg_add(p.group, says, takes, &p), 0);
        int code;
        if (round % 4 < 2) {
            code = rg_run(p.group);
        } else {
            CHECK_INT(rg_start(p.group), 0);
            CHECK_INT(rg_wait(p.group, -1, &code), 1);
        }
        CHECK_INT(code, 7);
        CHECK_STR(rg_get_cause(p.group)->message, "said");
        CHECK_INT(p.heard + p.read + p.taken, 3 * 42);
        rg_free(p.group);
    }
}

static int sends(void *group) {
    kill(getpid(), SIGTERM);
    return rg_wait_stop(group, -1) == 1 ? 1 : 2;
}

static void main_thread_waits(void) {
    for (int round = 0; round < 400; round++) {
        rg_group *group = rg_new();
        if (round % 2 == 1)
            CHECK_INT(rg_set_grace(group, 60000), 0);
        CHECK_INT(rg_add(group, sends, rg_interrupt_none, group), 0);
        CHECK_INT(rg_add_signals(group, NULL, 0), 0);
        int code;
        if (round % 4 < 2) {
            code = rg_run(group);
        } else {
            CHECK_INT(rg_start(group), 0);
            CHECK_INT(rg_wait_stop(group, -1), 1);
            CHECK_INT(rg_wait(group, -1, &code), 1);
        }
        CHECK_INT(code, 128 + SIGTERM);
        rg_free(group);
    }
}

int main(void) {
    watchdog(120);
    CASE(what_is_handed_over);
    CASE(main_thread_waits);
    printf("tools: %d passed\n", cases_passed);
    return 0;
}
