/* A plugin host: loads the library, leaves a stuck actor behind, and unloads.
 * argv[1]: the library (librungroup.so.0). Must not be linked with it, or there
 * is nothing to unload: link with -Wl,--as-needed. */
#include "load.h"

static const char *path = "librungroup.so.0";
static gate freedom = GATE_INIT, released = GATE_INIT;

static int stick(void *userdata) {
    (void)userdata;
    gate_await(&freedom, 1);
    return 1;
}

static void stick_too(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_await(&freedom, 1);
}

static void release(void *userdata) {
    (void)userdata;
    gate_pass(&released);
}

static void unloaded_while_stuck(void) {
    CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD) == NULL);
    library loaded = load(path);
    rg_group *group = loaded.make();
    CHECK_INT(loaded.set_grace(group, 20), 0);
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = stick;
    actor.interrupt = stick_too;
    actor.release = release;
    CHECK_INT(loaded.add_actor(group, &actor), 0);
    CHECK_INT(loaded.add(group, return_seven, loaded.interrupt_none, NULL), 0);
    CHECK_INT(loaded.run(group), RG_ETIMEDOUT);
    loaded.free(group);
    CHECK_INT(dlclose(loaded.handle), 0);
    CHECK_INT(gate_count(&released), 0);
    gate_pass(&freedom);
    gate_await(&released, 1);
    await_threads(1);
}

static void loaded_again(void) {
    library loaded = load(path);
    rg_group *group = loaded.make();
    CHECK_INT(loaded.add(group, return_seven, loaded.interrupt_none, NULL), 0);
    CHECK_INT(loaded.run(group), 7);
    loaded.free(group);
    CHECK_INT(dlclose(loaded.handle), 0);
}

int main(int count, char **arguments) {
    if (count > 1)
        path = arguments[1];
    watchdog(60);
    CASE(unloaded_while_stuck);
    CASE(loaded_again);
    return finish("dlclose");
}
