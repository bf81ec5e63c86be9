/* Between the start of its actors and the end of the run a group allocates
 * nothing, in no thread; a driven group neither. But for parking_lot, which makes
 * room for a thread that waits for a lock for the first time: seldom, on a busy
 * machine. */
#include "check.h"

enum { ACTORS = 64 };

/* glibc's own, behind these. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static int counting, allocations;

static void count(void) {
    if (__atomic_load_n(&counting, __ATOMIC_SEQ_CST))
        __atomic_add_fetch(&allocations, 1, __ATOMIC_SEQ_CST);
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    count();
    return __libc_realloc(memory, size);
}

static void set_counting(int on) { __atomic_store_n(&counting, on, __ATOMIC_SEQ_CST); }

static gate started;

static int first(void *group) {
    (void)group;
    gate_await(&started, ACTORS - 1);
    set_counting(1);
    return 7;
}

static int blocks(void *group) {
    gate_pass(&started);
    return until_stop(group);
}

static rg_group *make_group(int order, int64_t grace) {
    started = (gate)GATE_INIT;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_order(group, order), 0);
    CHECK_INT(rg_set_grace(group, grace), 0);
    for (int i = 0; i < ACTORS; i++)
        CHECK_INT(rg_add(group, i == 0 ? first : blocks, rg_interrupt_none, group), 0);
    return group;
}

static int counted(void) {
    set_counting(0);
    return __atomic_exchange_n(&allocations, 0, __ATOMIC_SEQ_CST);
}

/* What is allocated in every run is the group's. */
static void check_none(int (*allocates)(int, int64_t), int order, int64_t grace) {
    int most = 5;
    while (allocates(order, grace) > 0)
        CHECK(--most > 0);
}

static int in_one_call(int order, int64_t grace) {
    rg_group *group = make_group(order, grace);
    CHECK_INT(rg_run(group), 7);
    int count = counted();
    rg_free(group);
    return count;
}

static void each_order_and_grace(void) {
    for (int order = RG_ORDER_ADDED; order <= RG_ORDER_STAGED; order++)
        for (int64_t grace = -1; grace < 60000; grace += 60000)
            check_none(in_one_call, order, grace);
}

static int in_two_calls(int order, int64_t grace) {
    rg_group *group = make_group(order, grace);
    int code;
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_wait(group, -1, &code), 1);
    int count = counted();
    CHECK_INT(code, 7);
    rg_free(group);
    return count;
}

static void in_two_halves(void) { check_none(in_two_calls, RG_ORDER_ADDED, -1); }

static void driven(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < ACTORS; i++)
        CHECK_INT(rg_drive_add(group, NULL), 0);
    CHECK_INT(rg_drive_begin(group), 0);
    set_counting(1);
    CHECK(rg_drive_return(group, 0, 7, NULL) >= 0);
    for (int step = RG_STEP_WAIT; step != RG_STEP_FINISH;) {
        int64_t value;
        step = rg_drive_next(group, &value);
        if (step == RG_STEP_INTERRUPT) {
            CHECK(rg_drive_interrupted(group, (size_t)value, NULL) >= 0);
            if (value != 0)
                CHECK(rg_drive_return(group, (size_t)value, 0, NULL) >= 0);
        }
    }
    CHECK_INT(counted(), 0);
    rg_free(group);
}

/* The counter counts. */
static void counter(void) {
    set_counting(1);
    rg_group *group = rg_new();
    CHECK(counted() > 0);
    rg_free(group);
}

int main(void) {
    watchdog(60);
    CASE(counter);
    CASE(each_order_and_grace);
    CASE(in_two_halves);
    CASE(driven);
    return finish("hot");
}
