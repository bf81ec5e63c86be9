/* Every allocation made to fail in turn, once and from then on. rg_new says NULL. The
 * calls that add actors and start a group say RG_ENOMEM, and everything is as before:
 * the same call made again does what it should have done. No call hangs or crashes. */
#include "check.h"

#include <errno.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static long left = -1; /* allocations until one fails; negative: none does */
static int and_on;     /* whether all later ones fail as well */
static int failures;   /* how many did */

static int fails(void) {
    long before = __atomic_load_n(&left, __ATOMIC_SEQ_CST);
    while (before >= 0) {
        long after = before > 0 ? before - 1 : and_on ? 0 : -1;
        if (__atomic_compare_exchange_n(&left, &before, after, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            if (before > 0)
                return 0;
            __atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
            errno = ENOMEM;
            return 1;
        }
    }
    return 0;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    return fails() ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    return fails() ? NULL : __libc_realloc(old, size);
}
int posix_memalign(void **out, size_t alignment, size_t size) {
    if (fails())
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}
void *aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __libc_memalign(alignment, size);
}

/* From here on; 0: the next one fails. */
static void fail_at(long allocation) {
    __atomic_store_n(&left, allocation, __ATOMIC_SEQ_CST);
}

/* Whether one failed. */
static int end_failing(void) {
    __atomic_store_n(&left, -1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&failures, __ATOMIC_SEQ_CST) > 0;
}

/* ---- the calls --------------------------------------------------------------------- */

static int executed, released;

static int count_and_return(void *userdata) {
    (void)userdata;
    __sync_fetch_and_add(&executed, 1);
    return 7;
}

static void start_and_complete(rg_completion *done, void *userdata) {
    (void)userdata;
    __sync_fetch_and_add(&executed, 1);
    CHECK_INT(rg_complete(done, 7, NULL), 0);
}

static int call_add(rg_group *group) {
    return rg_add(group, count_and_return, rg_interrupt_none, &released);
}

static int call_add_actor(rg_group *group) {
    char name[200];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.name = name;
    actor.execute = count_and_return;
    actor.interrupt = rg_interrupt_none;
    actor.userdata = &released;
    actor.release = count_release;
    return rg_add_actor(group, &actor);
}

static int call_add_async(rg_group *group) {
    return rg_add_async(group, "a name that is copied", start_and_complete,
                        rg_interrupt_none, &released, count_release);
}

static int call_add_signals(rg_group *group) {
    const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP};
    return rg_add_signals(group, signals, 3);
}

static int call_run(rg_group *group) {
    int code = rg_run(group);
    return code == 7 ? 0 : code;
}

static int call_start(rg_group *group) { return rg_start(group); }

static const struct {
    const char *name;
    int (*call)(rg_group *);
    int adds, starts, releases;
} calls[] = {{"rg_add", call_add, 1, 0, 0},
             {"rg_add_actor", call_add_actor, 1, 0, 1},
             {"rg_add_async", call_add_async, 1, 0, 1},
             {"rg_add_signals", call_add_signals, 1, 0, 0},
             {"rg_run", call_run, 0, 1, 0},
             {"rg_start", call_start, 0, 1, 0}};
enum { CALLS = sizeof calls / sizeof *calls };

static void observe(const rg_event *event, void *count) {
    (void)event;
    __sync_fetch_and_add((int *)count, 1);
}

/* What this child does. */
static int which, before_count, observed;
static int allocations_reached;
static int64_t grace;
static long failing;

/* A child's status. */
enum { UNTOUCHED = 77 };

static int default_of(int signal) {
    struct sigaction action;
    CHECK_INT(sigaction(signal, NULL, &action), 0);
    return action.sa_handler == SIG_DFL;
}

/* One group: the call fails, and nothing has happened; then it is made again. */
static void fails_and_works(void) {
    int told = 0;
    rg_group *group = rg_new();
    CHECK(group != NULL);
    CHECK_INT(rg_set_grace(group, grace), 0);
    if (observed)
        CHECK_INT(rg_set_observer(group, observe, &told), 0);
    int releases = calls[which].releases;
    for (int i = 0; i < before_count; i++) {
        CHECK_INT(call_add_actor(group), 0);
        CHECK_INT(call_add_async(group), 0);
        CHECK_INT(call_add_signals(group), 0);
        CHECK_INT(call_add(group), 0);
        releases += 2;
    }
    size_t count = rg_actor_count(group);
    int before = descriptors();
    fail_at(failing);
    int code = calls[which].call(group);
    int failed = end_failing();
    int ran = calls[which].starts && code == 0;
    if (code != 0) {
        CHECK(failed);
        /* Memory that the C library wanted for a thread. */
        CHECK(code == RG_ENOMEM || (calls[which].starts && code == RG_ESPAWN));
        CHECK_INT(executed + released + told, 0);
        CHECK_INT(rg_actor_count(group), count);
        CHECK_INT(rg_stopping(group), 0);
        CHECK(rg_get_cause(group) == NULL);
        CHECK(default_of(SIGUSR1) && default_of(SIGUSR2) && default_of(SIGHUP));
        await_threads(1);
        if (calls[which].adds)
            CHECK_INT(descriptors(), before);
        CHECK_INT(calls[which].call(group), 0);
        ran = calls[which].starts;
    }
    CHECK_INT(rg_actor_count(group), count + (size_t)calls[which].adds);
    if (!ran && !calls[which].starts) {
        CHECK_INT(report_of(group, count).state, RG_STATE_ADDED);
        CHECK_INT(call_add(group), 0); /* somebody has to end it */
        CHECK_INT(rg_run(group), 7);
    }
    int result = 0;
    CHECK_INT(rg_wait(group, -1, &result), 1);
    CHECK_INT(result, 7);
    rg_free(group);
    CHECK_INT(released, releases);
    await_threads(1);
    _exit(failed ? 0 : UNTOUCHED);
}

/* A child that aborts for want of memory has more tries. parking_lot makes a table when
 * threads wait for a lock for the first time, seldom, on a busy machine, and aborts if it
 * gets no memory (docs/guarantees.md). An abort of the library's own comes each time. */
static int in_one_of_the_children(void (*function)(void)) {
    int status, tries = 5;
    char said[4096];
    do {
        FILE *kept;
        int before = stderr_begin(&kept);
        status = in_child(function);
        stderr_end(before, kept, said, sizeof said);
    } while (--tries > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
             strstr(said, "memory allocation of ") != NULL);
    fputs(said, stderr);
    return status;
}

static void check_call(void) {
    int reached = 0;
    for (failing = 0; failing < 2000; failing++) {
        int status = in_one_of_the_children(fails_and_works);
        if (WIFEXITED(status) && WEXITSTATUS(status) == UNTOUCHED) {
            reached = failing > 0;
            break;
        }
        if (status != 0)
            fprintf(stderr,
                    "%s, %d sets of actors before, grace %lld, allocation %ld%s: "
                    "wait status 0x%x\n",
                    calls[which].name, before_count, (long long)grace, failing,
                    and_on ? " and all later ones" : "", (unsigned)status);
        CHECK_INT(status, 0);
    }
    CHECK(failing < 2000);
    /* A call that allocates nothing proves nothing; a later one allocates. */
    allocations_reached = allocations_reached || reached;
}

static void each_call(void) {
    for (which = 0; which < CALLS; which++)
        for (and_on = 0; and_on < 2; and_on++)
            for (observed = 0; observed < 2; observed++) {
                grace = observed ? 60000 : -1;
                allocations_reached = 0;
                /* A list of actors grows now and then. */
                int most = calls[which].starts ? 1 : 2;
                for (before_count = calls[which].starts; before_count <= most;
                     before_count++)
                    check_call();
                CHECK(allocations_reached);
            }
}

/* ---- rg_new -------------------------------------------------------------------------
 */

static void new_group_or_none(void) {
    fail_at(failing);
    rg_group *group = rg_new();
    int failed = end_failing();
    CHECK_INT(group == NULL, failed);
    rg_free(group);
    _exit(failed ? 0 : UNTOUCHED);
}

/* It asks for all that it needs, gives that back, and takes it. */
static void no_group(void) {
    enum { ASKED = 2 };
    for (and_on = 0; and_on < 2; and_on++)
        for (failing = 0; failing < ASKED; failing++)
            CHECK_INT(in_child(new_group_or_none), 0);
}

int main(void) {
    watchdog(240);
    CASE(no_group);
    CASE(each_call);
    return finish("memory");
}
