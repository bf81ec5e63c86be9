/* Leaving with stuck actors, from main and from an actor, and forking while a
 * group runs. */
#include "check.h"

static gate entered = GATE_INIT, never = GATE_INIT;

static int sticks(void *userdata) {
    (void)userdata;
    gate_pass(&entered);
    gate_await(&never, 1);
    return 0;
}

static int awaits_it(void *userdata) {
    (void)userdata;
    gate_await(&entered, 1);
    return 7;
}

static rg_group *stuck_group(rg_execute_fn ends) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 20), 0);
    CHECK_INT(rg_add(group, sticks, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, ends, rg_interrupt_none, NULL), 0);
    return group;
}

static void main_exits(void) {
    rg_group *group = stuck_group(awaits_it);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    exit(33);
}

static void main_exits_after_free(void) {
    rg_group *group = stuck_group(awaits_it);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    rg_free(group);
    exit(33);
}

static int exits(void *userdata) {
    (void)userdata;
    gate_await(&entered, 1);
    exit(33);
}

static void actor_exits(void) {
    rg_run(stuck_group(exits));
    CHECK(0);
}

static void exit_with_stuck_actors(void) {
    void (*const ways[])(void) = {main_exits, main_exits_after_free, actor_exits};
    for (int round = 0; round < 90; round++) {
        int status = in_child(ways[round % 3]);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 33);
    }
}

/* ---- fork --------------------------------------------------------------------- */

static void run_one(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 20000), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
}

static int runs_and_runs(void *group) {
    while (!rg_stopping(group))
        run_one();
    return 0;
}

static int forks(void *userdata) {
    (void)userdata;
    for (int i = 0; i < 300; i++)
        check_in_child(run_one);
    return 7;
}

/* A child has groups of its own; the parent's go on. */
static void fork_while_groups_run(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, runs_and_runs, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add(group, runs_and_runs, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add(group, forks, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
    await_threads(1);
}

int main(void) {
    watchdog(120);
    CASE(exit_with_stuck_actors);
    CASE(fork_while_groups_run);
    return finish("leaving");
}
