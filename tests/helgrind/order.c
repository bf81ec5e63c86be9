/* No race: what comes before a stop is seen by who waits for it. */
#include "rungroup.h"

static int written, read_by_actor, read_by_interrupt;

static int write_and_stop(void *group) {
    written = 1;
    rg_stop(group, 7);
    return 0;
}

static int wait_and_read(void *group) {
    rg_wait_stop(group, -1);
    read_by_actor = written;
    return 0;
}

static int look_and_read(void *group) {
    while (!rg_stopping(group)) {
    }
    return written;
}

static void read_it(const rg_cause *cause, void *group) {
    (void)cause;
    (void)group;
    read_by_interrupt = written;
}

int main(void) {
    rg_group *group = rg_new();
    int failed = rg_add(group, wait_and_read, read_it, group) ||
                 rg_add(group, look_and_read, rg_interrupt_none, group) ||
                 rg_add(group, write_and_stop, rg_interrupt_none, group) ||
                 rg_run(group) != 7;
    rg_free(group);
    return failed || !read_by_actor || !read_by_interrupt;
}
