/* A job that is done once must not end the group: it waits for the stop afterwards. */
#include <rungroup.h>
#include <stdio.h>

static rg_group *group;

static int migrate(void *unused) {
    (void)unused;
    puts("migrated");
    fflush(stdout);
    /* Without this line the group would end here. */
    rg_wait_stop(group, -1);
    return 0;
}

int main(void) {
    group = rg_new();
    if (rg_add(group, migrate, rg_interrupt_none, NULL) != 0 ||
        rg_add_signals(group, NULL, 0) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(group);
    rg_free(group);
    return code;
}
