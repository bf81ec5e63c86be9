/* A fixed number of cycles, for counting: instructions threads|driven. */
#include <rungroup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACTORS = 16, CYCLES = 200 };

static void check(int holds) {
    if (!holds) {
        fputs("instructions: not as expected\n", stderr);
        exit(1);
    }
}

static int first(void *userdata) {
    (void)userdata;
    return 7;
}

static int blocks(void *group) { return rg_wait_stop(group, -1) < 0; }

static void threads(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < ACTORS; i++) {
        /* Stacks so small that they are kept wherever this runs. */
        rg_actor actor = {.size = sizeof actor,
                          .execute = i == 0 ? first : blocks,
                          .interrupt = rg_interrupt_none,
                          .userdata = group,
                          .stack_size = 64 << 10};
        check(rg_add_actor(group, &actor) == 0);
    }
    check(rg_run(group) == 7);
    rg_free(group);
}

static void driven(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < ACTORS; i++)
        check(rg_drive_add(group, NULL) == 0);
    check(rg_drive_begin(group) == 0);
    check(rg_drive_return(group, 0, 7, NULL) >= 0);
    int64_t value;
    for (int step; (step = rg_drive_next(group, &value)) != RG_STEP_FINISH;) {
        check(step == RG_STEP_INTERRUPT);
        check(rg_drive_interrupted(group, (size_t)value, NULL) >= 0);
        if (value != 0)
            check(rg_drive_return(group, (size_t)value, 0, NULL) >= 0);
    }
    check(value == 7);
    rg_free(group);
}

int main(int count, char **arguments) {
    check(count == 2);
    for (int i = 0; i < CYCLES; i++)
        strcmp(arguments[1], "driven") == 0 ? driven() : threads();
    return 0;
}
