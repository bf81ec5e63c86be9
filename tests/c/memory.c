/* Every allocation made to fail in turn, once and from then on: rg_new says NULL;
 * later the group works, fails cleanly, or the process aborts with a sentence, as
 * Rust programs do without memory. It never hangs and never crashes. */
#include "check.h"

#include <errno.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long left = -1; /* allocations until one fails; negative: none does */
static int and_on;     /* whether all later ones fail as well */

static int fails(void) {
    if (left < 0)
        return 0;
    if (left > 0) {
        left--;
        return 0;
    }
    left = and_on ? 0 : -1;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    return fails() ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    return fails() ? NULL : __libc_realloc(old, size);
}

static int fail_with_message(void *userdata) {
    (void)userdata;
    return rg_fail(7, "why");
}

enum { WORKED = 10, NO_GROUP, NO_THREAD, NO_MEMORY, UNTOUCHED };

static long failing;
static int grace;

static void one_life(void) {
    static int released;
    left = failing;
    rg_group *group = rg_new();
    if (group == NULL)
        _exit(NO_GROUP);
    int signal = SIGUSR1;
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = &released;
    actor.release = count_release;
    actor.execute = fail_with_message;
    CHECK_INT(rg_set_grace(group, grace), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    int code = rg_run(group);
    int untouched = left > 0;
    left = -1;
    rg_free(group);
    CHECK_INT(released, 1);
    CHECK(code == 7 || code == RG_ESPAWN || code == RG_ENOMEM);
    _exit(untouched           ? UNTOUCHED
          : code == 7         ? WORKED
          : code == RG_ESPAWN ? NO_THREAD
                              : NO_MEMORY);
}

static void each_fails(void) {
    for (failing = 0; failing < 1000; failing++) {
        char said[1024];
        FILE *kept;
        int before = stderr_begin(&kept);
        int status = in_child(one_life);
        stderr_end(before, kept, said, sizeof said);
        if (WIFSIGNALED(status)) {
            CHECK_INT(WTERMSIG(status), SIGABRT);
            CHECK(strstr(said, "memory") != NULL);
            CHECK(failing > 0);
            continue;
        }
        if (WEXITSTATUS(status) < WORKED)
            fprintf(stderr, "allocation %ld: %s", failing, said);
        CHECK(WEXITSTATUS(status) >= WORKED);
        if (failing == 0)
            CHECK_INT(WEXITSTATUS(status), NO_GROUP);
        if (WEXITSTATUS(status) == UNTOUCHED)
            break;
    }
    CHECK(and_on || failing > 10);
}

static void one_fails(void) {
    and_on = 0;
    each_fails();
}

static void all_fail_from_then_on(void) {
    and_on = 1;
    for (failing = 0; failing < 1; failing++)
        CHECK_INT(WEXITSTATUS(in_child(one_life)), NO_GROUP);
}

int main(void) {
    watchdog(120);
    for (grace = -1; grace < 60000; grace += 60000) {
        CASE(one_fails);
        CASE(all_fail_from_then_on);
    }
    return finish("memory");
}
