/* A run ends: within its grace, whatever its threads still do after their executes
 * (rule 10), and when a thread can't be had. What it used is given back.
 *
 *     ends [SLACK_MS]    how much later than the grace is in time (500) */
#include "process.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>

static int slack_ms = 500;

static void check_in_time(int64_t began, int grace_ms) {
    int64_t took = now_ns() - began;
    CHECK(took >= grace_ms * MILLISECOND);
    CHECK(took <= (grace_ms + slack_ms) * MILLISECOND);
}

/* ---- a thread that does not end after its execute --------------------------------- */

static int way;
static gate freedom = GATE_INIT, released = GATE_INIT, ready = GATE_INIT;
static pthread_key_t slow_key;
static int64_t stopped_at;

/* A runtime that detaches from its thread, say. */
static void slow_destructor(void *value) {
    (void)value;
    gate_await(&freedom, 1);
}

static void slow_clean_up(void *value) { slow_destructor(value); }

static int until_stop_with_key(void *group) {
    pthread_setspecific(slow_key, &slow_key);
    gate_pass(&ready);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    return 3;
}

static int until_stop_and_exit(void *group) {
    gate_pass(&ready);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    pthread_cleanup_push(slow_clean_up, NULL);
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
    return 3;
}

static int end_when_ready(void *userdata) {
    (void)userdata;
    gate_await(&ready, 1);
    stopped_at = now_ns();
    return rg_fail(7, "enough");
}

static void pass_released(void *userdata) {
    (void)userdata;
    gate_pass(&released);
}

/* `only_thread`: the execute has returned, so that its thread alone is stuck. */
static void does_not_end(rg_execute_fn execute, int only_thread) {
    enum { GRACE_MS = 300 };
    int before = threads();
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, GRACE_MS), 0);
    add_released(group, "before", until_stop, rg_interrupt_none, group, pass_released);
    add_released(group, "slow", execute, rg_interrupt_none, group, pass_released);
    add_released(group, "first", end_when_ready, rg_interrupt_none, group, pass_released);
    add_released(group, "after", until_stop, rg_interrupt_none, group, pass_released);
    CHECK_INT(run_in(way, group), RG_ETIMEDOUT);
    check_in_time(stopped_at, GRACE_MS);
    CHECK_INT(rg_get_cause(group)->code, 7);
    CHECK_STR(rg_get_cause(group)->message, "enough");
    for (size_t i = 0; i < 4; i++)
        if (i != 1) {
            CHECK_INT(report_of(group, i).stuck, 0);
            CHECK_INT(report_of(group, i).state, RG_STATE_RETURNED);
        }
    int stuck = report_of(group, 1).stuck;
    if (only_thread)
        CHECK_INT(stuck, RG_STUCK_THREAD);
    else
        CHECK((stuck & (RG_STUCK_THREAD | RG_STUCK_EXECUTE)) != 0);
    const char *text = text_of(group);
    CHECK(strstr(text, "STUCK \"slow\"") != NULL);
    CHECK((strstr(text, "thread has not ended") != NULL) == only_thread);
    CHECK(strstr(text, "STUCK \"before\"") == NULL);
    CHECK(strstr(text, "STUCK \"first\"") == NULL);
    CHECK(strstr(text, "STUCK \"after\"") == NULL);
    rg_free(group);
    CHECK_INT(gate_count(&released), 0);
    gate_pass(&freedom);
    gate_await(&released, 4);
    await_threads(before);
}

static void early_key(void) {
    CHECK_INT(pthread_key_create(&slow_key, slow_destructor), 0);
    does_not_end(until_stop_with_key, 1);
}

/* The library's own key, which exists while a group runs, was made before: it is
 * destroyed before the others. */
static void after_the_librarys(void (*then)(void)) {
    rg_group *group = rg_new();
    add_released(group, NULL, until_stop, rg_interrupt_none, group, NULL);
    CHECK_INT(rg_start(group), 0);
    then();
    CHECK_INT(rg_stop(group, 0), 0);
    CHECK_INT(rg_wait(group, -1, NULL), 1);
    rg_free(group);
}

static void late_key(void) { after_the_librarys(early_key); }

static void clean_up_handler(void) { does_not_end(until_stop_and_exit, 0); }

static void threads_that_do_not_end(void) {
    for (way = 0; way < WAYS; way++) {
        check_status_0(early_key);
        check_status_0(late_key);
        check_status_0(clean_up_handler);
    }
}

/* The first to return ends the group (rule 4) although its thread does not end: what
 * that waits for may come with the stop alone. */
static int first_with_key(void *userdata) {
    (void)userdata;
    pthread_setspecific(slow_key, &slow_key);
    stopped_at = now_ns();
    return rg_fail(7, "enough");
}

static int first_that_exits(void *userdata) {
    (void)userdata;
    pthread_setspecific(slow_key, &slow_key);
    stopped_at = now_ns();
    pthread_exit(NULL);
}

static void let_go(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_pass(&freedom);
}

static void first_ends_the_group(rg_execute_fn first, int code) {
    enum { GRACE_MS = 300 };
    int before = threads();
    for (int in_time = 0; in_time < 2; in_time++) {
        freedom = (gate)GATE_INIT;
        rg_group *group = rg_new();
        CHECK_INT(rg_set_order(group, RG_ORDER_STAGED), 0);
        CHECK_INT(rg_set_grace(group, in_time ? -1 : GRACE_MS), 0);
        add_released(group, "first", first, rg_interrupt_none, group, NULL);
        add_released(group, "other", until_stop, in_time ? let_go : rg_interrupt_none,
                     group, NULL);
        CHECK_INT(run_in(way, group), in_time ? code : RG_ETIMEDOUT);
        if (!in_time)
            check_in_time(stopped_at, GRACE_MS);
        CHECK_INT(rg_get_cause(group)->code, code);
        CHECK_STR(rg_get_cause(group)->actor, "first");
        rg_actor_report report = report_of(group, 0);
        CHECK_INT(report.code, code);
        CHECK_INT(report.stuck, in_time ? 0 : RG_STUCK_THREAD);
        CHECK(report.returned_ns >= 0 &&
              report.returned_ns <= summary_of(group).stopping_ns);
        CHECK_INT(report_of(group, 1).stuck, 0);
        rg_free(group);
        gate_pass(&freedom);
        await_threads(before);
    }
}

static void key_of_the_first(void) {
    CHECK_INT(pthread_key_create(&slow_key, slow_destructor), 0);
    first_ends_the_group(first_with_key, 7);
}

/* That it left is known when the library's own key is destroyed. */
static void exits_with_key(void) {
    CHECK_INT(pthread_key_create(&slow_key, slow_destructor), 0);
    first_ends_the_group(first_that_exits, RG_EPANIC);
}

static void late_key_of_the_first(void) { after_the_librarys(exits_with_key); }

static void first_threads_that_do_not_end(void) {
    for (way = 0; way < WAYS; way++) {
        check_status_0(key_of_the_first);
        check_status_0(late_key_of_the_first);
    }
}

/* Threads of the library's on which an interrupt, a start or an observer has left such
 * data. Nobody is stuck: all have returned. */
static void interrupt_with_key(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    pthread_setspecific(slow_key, &slow_key);
}

static void start_with_key(rg_completion *done, void *userdata) {
    (void)userdata;
    pthread_setspecific(slow_key, &slow_key);
    CHECK_INT(rg_complete(done, 7, NULL), 0);
}

static void observe_with_key(const rg_event *event, void *userdata) {
    (void)event;
    (void)userdata;
    pthread_setspecific(slow_key, &slow_key);
}

enum { OF_INTERRUPT, OF_START, OF_OBSERVER, OF_NOBODY };
static int whose;

static void threads_of_the_librarys(void) {
    enum { GRACE_MS = 300 };
    CHECK_INT(pthread_key_create(&slow_key, slow_destructor), 0);
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, GRACE_MS), 0);
    if (whose == OF_OBSERVER)
        CHECK_INT(rg_set_observer(group, observe_with_key, NULL), 0);
    if (whose == OF_START)
        CHECK_INT(
            rg_add_async(group, NULL, start_with_key, rg_interrupt_none, NULL, NULL), 0);
    add_released(group, NULL, return_seven,
                 whose == OF_INTERRUPT ? interrupt_with_key : rg_interrupt_none, NULL,
                 NULL);
    int64_t began = now_ns();
    CHECK_INT(run_in(way, group), 7);
    CHECK(now_ns() - began <= (GRACE_MS + slack_ms) * MILLISECOND);
    CHECK_INT(report_of(group, 0).stuck, 0);
    rg_free(group);
    gate_pass(&freedom);
    await_threads(1);
}

static void helping_threads_that_do_not_end(void) {
    for (way = 0; way < WAYS; way++)
        for (whose = OF_INTERRUPT; whose < OF_NOBODY; whose++)
            check_status_0(threads_of_the_librarys);
}

/* Ends in time: then nobody is stuck, and the report has the result. */
static void key_in_time(void) {
    CHECK_INT(pthread_key_create(&slow_key, slow_destructor), 0);
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 60000), 0);
    add_released(group, "slow", until_stop_with_key, rg_interrupt_none, group, NULL);
    add_released(group, "first", end_when_ready, let_go, group, NULL);
    CHECK_INT(run_in(way, group), 7);
    CHECK_INT(report_of(group, 0).code, 3);
    CHECK_INT(report_of(group, 0).stuck, 0);
    rg_free(group);
    await_threads(1);
}

static void threads_that_end_in_time(void) {
    for (way = 0; way < WAYS; way++)
        check_status_0(key_in_time);
}

/* ---- a start that blocks ---------------------------------------------------------- */

static gate in_start = GATE_INIT;

static void start_slowly(rg_completion *done, void *userdata) {
    (void)userdata;
    gate_pass(&in_start);
    gate_await(&freedom, 1);
    rg_complete(done, 0, NULL);
}

static int end_in_start(void *userdata) {
    (void)userdata;
    gate_await(&in_start, 1);
    stopped_at = now_ns();
    return 7;
}

/* It has a thread of its own; the others are interrupted when its share of the grace is
 * over. */
static void slow_start(void) {
    enum { GRACE_MS = 500 };
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, GRACE_MS), 0);
    add_released(group, "innocent", until_stop, rg_interrupt_none, group, NULL);
    add_released(group, "first", end_in_start, rg_interrupt_none, group, NULL);
    CHECK_INT(rg_add_async(group, "slow", start_slowly, rg_interrupt_none, NULL, NULL),
              0);
    add_released(group, "innocent too", until_stop, rg_interrupt_none, group, NULL);
    CHECK_INT(run_in(way, group), RG_ETIMEDOUT);
    check_in_time(stopped_at, GRACE_MS);
    CHECK_INT(rg_get_cause(group)->index, 1);
    CHECK(report_of(group, 2).stuck != 0);
    CHECK_INT(report_of(group, 0).stuck, 0);
    CHECK_INT(report_of(group, 1).stuck, 0);
    CHECK_INT(report_of(group, 3).stuck, 0);
    const char *text = text_of(group);
    CHECK(strstr(text, "STUCK \"slow\"") != NULL);
    CHECK(strstr(text, "STUCK \"innocent") == NULL);
    rg_free(group);
    gate_pass(&freedom);
    await_threads(1);
}

static void start_that_blocks(void) {
    for (way = 0; way < WAYS; way++)
        check_status_0(slow_start);
}

/* ---- threads that can't be had -------------------------------------------------------
 */

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static volatile int no_threads;
/* Before this call, counted down, the group is stopped. */
static int calls_left = -1;
static rg_group *stopped_while_starting;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*start)(void *), void *argument) {
    if (no_threads)
        return EAGAIN;
    if (__sync_fetch_and_sub(&calls_left, 1) == 0)
        CHECK_INT(rg_stop(stopped_while_starting, 9), 0);
    create_fn create;
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof create);
    return create(thread, attributes, start, argument);
}

static int end_without_threads(void *userdata) {
    (void)userdata;
    no_threads = 1;
    stopped_at = now_ns();
    return 7;
}

static void hang(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    gate_await(&freedom, 1);
}

static void hang_without_threads(void) {
    enum { GRACE_MS = 300 };
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, GRACE_MS), 0);
    add_released(group, NULL, end_without_threads, hang, NULL, NULL);
    add_released(group, NULL, until_stop, hang, group, NULL);
    add_released(group, NULL, until_stop, hang, group, NULL);
    CHECK_INT(run_in(way, group), RG_ETIMEDOUT);
    check_in_time(stopped_at, GRACE_MS);
    CHECK_INT(report_of(group, 0).stuck, RG_STUCK_INTERRUPT);
    CHECK_INT(rg_get_cause(group)->code, 7);
    rg_free(group);
    gate_pass(&freedom);
    await_threads(1);
}

static void no_thread_at_the_stop(void) {
    for (way = 0; way < WAYS; way++)
        check_status_0(hang_without_threads);
}

/* ---- a stop while the group starts --------------------------------------------------
 */

static int interrupted, execution, with_grace;

static void count_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    __sync_fetch_and_add(&interrupted, 1);
}

static rg_group *with_settings(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, with_grace ? 60000 : -1), 0);
    return group;
}

static int stay(void *userdata) {
    (void)userdata;
    gate_await(&freedom, 1);
    return 0;
}

enum { STARTERS = 5 };
static int kinds[64], kind_count;

static void keep_kind(const rg_event *event, void *userdata) {
    (void)userdata;
    CHECK(kind_count < 64);
    kinds[kind_count++] = event->kind;
}

static int count_execution(void *group) {
    __sync_fetch_and_add(&execution, 1);
    CHECK_INT(rg_wait_stop(group, -1), 1);
    return 0;
}

/* Whether that call was made. */
static int stopped_before_create(int call) {
    kind_count = execution = interrupted = 0;
    rg_group *group = stopped_while_starting = with_settings();
    CHECK_INT(rg_set_observer(group, keep_kind, NULL), 0);
    for (int i = 0; i < STARTERS; i++)
        add_released(group, NULL, count_execution, count_interrupt, group, NULL);
    calls_left = call;
    CHECK_INT(rg_start(group), 0);
    int made = calls_left < 0;
    calls_left = -1;
    if (!made)
        CHECK_INT(rg_stop(group, 9), 0);
    CHECK_INT(finished(group), 9);
    CHECK_INT(rg_get_cause(group)->index, -1);
    rg_free(group);
    /* Nothing is started, or all are, before the stop. */
    CHECK(execution == 0 || execution == STARTERS);
    CHECK_INT(interrupted, execution);
    CHECK(kind_count > execution);
    for (int i = 0; i < execution; i++)
        CHECK_INT(kinds[i], RG_EVENT_STARTED);
    if (execution > 0)
        CHECK_INT(kinds[execution], RG_EVENT_STOPPING);
    for (int i = execution + 1; i < kind_count; i++)
        CHECK(kinds[i] != RG_EVENT_STARTED && kinds[i] != RG_EVENT_STOPPING);
    CHECK_INT(kinds[kind_count - 1], RG_EVENT_STOPPED);
    return made;
}

static void stopped_while_it_starts(void) {
    for (with_grace = 0; with_grace < 2; with_grace++) {
        int call = 0;
        way = BY_START;
        while (stopped_before_create(call))
            call++;
        CHECK(call >= STARTERS);
        await_threads(1);
    }
}

/* ---- a group in a group
 * ---------------------------------------------------------------- */

static int run_inner(void *inner) { return rg_run(inner); }

/* The inner one is late; the outer one has no grace, and its report speaks of none. */
static void inner_group_is_late(void) {
    rg_group *inner = rg_new(), *outer = rg_new();
    CHECK_INT(rg_set_grace(inner, 20), 0);
    add_released(inner, NULL, stay, rg_interrupt_none, NULL, NULL);
    add_released(inner, NULL, return_seven, rg_interrupt_none, NULL, NULL);
    add_released(outer, "nest", run_inner, rg_interrupt_none, inner, NULL);
    add_released(outer, NULL, until_stop, rg_interrupt_none, outer, NULL);
    CHECK_INT(run_in(way, outer), RG_ETIMEDOUT);
    CHECK_INT(report_of(outer, 0).stuck, 0);
    CHECK_INT(report_of(outer, 1).stuck, 0);
    const char *text = text_of(outer);
    CHECK(strstr(text, "its grace of") == NULL);
    CHECK(strstr(text, "STUCK") == NULL);
    CHECK(strstr(text_of(inner), "STUCK") != NULL);
    rg_free(outer);
    rg_free(inner);
    gate_pass(&freedom);
    await_threads(1);
}

static void nested(void) {
    for (way = 0; way < WAYS; way++)
        check_status_0(inner_group_is_late);
}

/* ---- the order of interrupts with a grace
 * ------------------------------------------------ */

enum { PROMPT = 20 };
static int order_seen[PROMPT], order_count, orders_called[PROMPT];

static void keep_order(const rg_cause *cause, void *called) {
    (void)cause;
    int at = __sync_fetch_and_add(&order_count, 1);
    if (at < PROMPT)
        order_seen[at] = (int)((int *)called - orders_called);
    __sync_lock_test_and_set((int *)called, 1);
}

/* Prompt, and busy meanwhile: the threads that call interrupts wait for their turn. */
static int until_called(void *called) {
    while (!__atomic_load_n((int *)called, __ATOMIC_ACQUIRE)) {
    }
    return 0;
}

static void in_order_with_a_grace(void) {
    for (int round = 0; round < 200; round++) {
        rg_group *group = rg_new();
        int order = round % 2 ? RG_ORDER_REVERSE : RG_ORDER_ADDED;
        CHECK_INT(rg_set_grace(group, 50), 0);
        CHECK_INT(rg_set_order(group, order), 0);
        order_count = 0;
        for (int i = 0; i < PROMPT; i++) {
            orders_called[i] = 0;
            /* On a busy machine many are stuck, each with its stack, until they end. */
            rg_actor actor = RG_ACTOR_INIT;
            actor.execute = i == round % PROMPT ? return_seven : until_called;
            actor.interrupt = keep_order;
            actor.userdata = &orders_called[i];
            actor.stack_size = 64 << 10;
            CHECK_INT(rg_add_actor(group, &actor), 0);
        }
        int code = run_in(round % 4 / 2, group);
        CHECK(code == 7 || code == RG_ETIMEDOUT); /* a busy machine */
        while (__sync_fetch_and_add(&order_count, 0) < PROMPT)
            sched_yield();
        rg_free(group);
        for (int i = 0; i < PROMPT; i++)
            CHECK_INT(order_seen[i], order == RG_ORDER_ADDED ? i : PROMPT - 1 - i);
    }
}

/* ---- memory that is locked
 * ------------------------------------------------------------- */

static size_t resident(void) {
    size_t mapped = 0, pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu %zu", &mapped, &pages) == 2);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void locked(void) {
    enum { MIB = 1 << 20 };
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        _exit(77);
    size_t before = resident();
    rg_group *group = rg_new();
    for (int i = 0; i < 100; i++)
        add_released(group, NULL, return_seven, rg_interrupt_none, NULL, NULL);
    int code = rg_run(group);
    rg_free(group);
    if (code != 7)
        _exit(77); /* more than may be locked */
    CHECK(resident() <= before + 64 * (size_t)MIB);
}

static void locked_memory_comes_back(void) {
    int status = in_child(locked);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        printf("ends: locked memory skipped: mlockall is not permitted\n");
    else
        CHECK_INT(WEXITSTATUS(status), 0);
}

int main(int count, char **arguments) {
    if (count > 1)
        slack_ms = atoi(arguments[1]);
    watchdog(240);
    CASE(threads_that_do_not_end);
    CASE(first_threads_that_do_not_end);
    CASE(helping_threads_that_do_not_end);
    CASE(threads_that_end_in_time);
    CASE(start_that_blocks);
    CASE(no_thread_at_the_stop);
    CASE(stopped_while_it_starts);
    CASE(nested);
    CASE(in_order_with_a_grace);
    CASE(locked_memory_comes_back);
    await_threads(1);
    return finish("ends");
}
