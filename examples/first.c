/* Two actors wait; the third counts to three and returns: all of them end. */
#include <rungroup.h>
#include <stdio.h>

static rg_group *group;

static int wait_for_stop(void *name) {
    rg_wait_stop(group, -1);
    printf("%s: returned\n", (const char *)name);
    return 0;
}

static int count_to_three(void *name) {
    for (int i = 1; i <= 3 && rg_wait_stop(group, 1000) == 0; i++)
        printf("%s: %d\n", (const char *)name, i);
    printf("%s: returned\n", (const char *)name);
    return 0;
}

static void interrupt(const rg_cause *cause, void *name) {
    printf("%s: interrupted, code %d\n", (const char *)name, cause->code);
}

int main(void) {
    group = rg_new();
    if (rg_add(group, wait_for_stop, interrupt, "first") != 0 ||
        rg_add(group, wait_for_stop, interrupt, "second") != 0 ||
        rg_add(group, count_to_three, interrupt, "third") != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(group);
    rg_free(group);
    return code;
}
