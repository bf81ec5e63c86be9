/* A host drives a group: its two actors are entries of a table, not threads. */
#include <inttypes.h>
#include <poll.h>
#include <rungroup.h>
#include <stdio.h>

static const char *const names[] = {"ping", "pong"};

static void interrupt(rg_group *group, size_t actor) {
    const rg_cause *cause = rg_get_cause(group);
    printf("%s: interrupted, code %d\n", names[actor], cause->code);
    /* Both of its completions; a real host reports each when it happens. */
    rg_drive_interrupted(group, actor, NULL);
    rg_drive_return(group, actor, 0, NULL);
}

int main(void) {
    rg_group *group = rg_new();
    if (rg_drive_add(group, names[0]) != 0 || rg_drive_add(group, names[1]) != 0 ||
        rg_add_signals(group, NULL, 0) != 0 || rg_drive_begin(group) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    puts("running");
    fflush(stdout);

    struct pollfd news = {rg_drive_fd(group), POLLIN, 0};
    int64_t value;
    int step;
    while ((step = rg_drive_next(group, &value)) != RG_STEP_FINISH) {
        if (step == RG_STEP_INTERRUPT)
            interrupt(group, (size_t)value);
        else if (step == RG_STEP_WAIT)
            poll(&news, 1, value < 0 ? -1 : (int)(value / 1000000) + 1);
        else
            return 1; /* an error: see rg_last_error */
    }
    printf("finished, code %" PRId64 "\n", value);
    rg_free(group);
    return (int)value;
}
