/* A group inside a group: the inner one has its own order and its own grace. */
#include <rungroup.h>
#include <stdio.h>

static rg_group *outer, *inner;

static int work(void *name) {
    printf("%s: working\n", (const char *)name);
    fflush(stdout);
    rg_wait_stop(inner, -1);
    printf("%s: done\n", (const char *)name);
    return 0;
}

static int run_inner(void *unused) {
    (void)unused;
    return rg_run(inner);
}

static void stop_inner(const rg_cause *cause, void *unused) {
    (void)unused;
    rg_stop(inner, cause->code);
}

int main(void) {
    inner = rg_new();
    outer = rg_new();
    if (rg_add(inner, work, rg_interrupt_none, "worker") != 0 ||
        rg_set_grace(inner, 2000) != 0 || /* less than the outer one's */
        rg_add(outer, run_inner, stop_inner, NULL) != 0 ||
        rg_add_signals(outer, NULL, 0) != 0 || rg_set_grace(outer, 5000) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(outer);
    if (code == RG_ETIMEDOUT)
        rg_exit(1); /* something is stuck, and may still use either group */
    rg_free(inner);
    rg_free(outer);
    return code;
}
