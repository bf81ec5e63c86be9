/* Where actors' stacks come from: sizes, guards, and what becomes of them. */
#include "check.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define MIB ((size_t)1 << 20)

static int no_guard_install, no_mprotect;
static size_t most_mapped = SIZE_MAX; /* in one call */
static int mappings, guards_made;

/* The library's calls come here, and not the C library's own. */
int madvise(void *address, size_t length, int advice) {
    if (advice == 102) {
        guards_made++;
        if (no_guard_install) {
            errno = EINVAL;
            return -1;
        }
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}

void *mmap(void *address, size_t length, int protection, int flags, int file,
           off_t offset) {
    if (flags & MAP_STACK)
        mappings++;
    if (length > most_mapped) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    long mapped =
        syscall(SYS_mmap, address, length, protection, flags, file, (long)offset);
    return (void *)mapped;
}

int mprotect(void *address, size_t length, int protection) {
    if (no_mprotect) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mprotect, address, length, protection);
}

typedef struct stack {
    char *lowest;
    size_t size;
} stack;

/* The stack of the thread that calls. */
static stack own_stack(void) {
    stack own;
    void *lowest;
    pthread_attr_t attributes;
    CHECK_INT(pthread_getattr_np(pthread_self(), &attributes), 0);
    CHECK_INT(pthread_attr_getstack(&attributes, &lowest, &own.size), 0);
    pthread_attr_destroy(&attributes);
    own.lowest = lowest;
    return own;
}

static void add(rg_group *group, rg_execute_fn execute, void *userdata,
                size_t stack_size) {
    rg_actor actor = actor_of(NULL, execute, rg_interrupt_none, userdata);
    actor.stack_size = stack_size;
    CHECK_INT(rg_add_actor(group, &actor), 0);
}

static int find_stack(void *found) {
    *(stack *)found = own_stack();
    return 0;
}

static void sizes(void) {
    const size_t wanted[] = {0, 64 << 10, 0, 1 * MIB, 100000, 0};
    enum { COUNT = sizeof wanted / sizeof *wanted };
    stack found[COUNT];
    rg_group *group = rg_new();
    for (int i = 0; i < COUNT; i++)
        add(group, find_stack, &found[i], wanted[i]);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);
    for (int i = 0; i < COUNT; i++) {
        size_t least = wanted[i] == 0 ? 8 * MIB : wanted[i];
        CHECK(found[i].size >= least && found[i].size < least + 8192);
        for (int j = 0; j < i; j++)
            CHECK(found[i].lowest >= found[j].lowest + found[j].size ||
                  found[j].lowest >= found[i].lowest + found[i].size);
    }
}

/* A first actor with a wish of its own does not keep the rest from sharing. */
static void the_commonest_size_is_shared(void) {
    enum { COUNT = 20 };
    stack found[COUNT];
    mappings = guards_made = 0;
    rg_group *group = rg_new();
    for (int i = 0; i < COUNT; i++)
        add(group, find_stack, &found[i], i % 5 ? 7 * MIB : (size_t)i << 20);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);
    CHECK_INT(mappings, 1);
    CHECK_INT(guards_made, COUNT / 5 * 4);
}

/* ---- overflow --------------------------------------------------------------------- */

static stack overflowing;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    char *at = info->si_addr;
    int guarded = at < overflowing.lowest && at >= overflowing.lowest - 4096;
    _exit(guarded ? 33 : 34);
}

static int recurse(volatile char *above) {
    volatile char here[512];
    here[0] = (char)(*above + 1);
    if (overflowing.size == 0)
        return 0;
    return recurse(here) + here[0];
}

static int overflow(void *userdata) {
    static char other_stack[64 << 10];
    stack_t alternate = {other_stack, 0, sizeof other_stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
    overflowing = own_stack();
    volatile char first = 0;
    (void)userdata;
    return recurse(&first);
}

enum { NEIGHBOURS = 4 };
static int overflows_at;

static void overflow_among_others(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < NEIGHBOURS; i++)
        add(group, i == overflows_at ? overflow : until_stop, group, 64 << 10);
    rg_run(group);
    _exit(35);
}

/* Wherever in the mapping it is. */
static void guards(void) {
    for (overflows_at = 0; overflows_at < NEIGHBOURS; overflows_at++) {
        int status = in_child(overflow_among_others);
        CHECK(WIFEXITED(status));
        CHECK_INT(WEXITSTATUS(status), 33);
    }
}

static void without_guard_install(void) {
    no_guard_install = 1;
    guards();
    no_guard_install = 0;
}

/* No guard to be had: the C library makes the stacks, with guards of its own. */
static void unguardable(void) {
    no_guard_install = no_mprotect = 1;
    stack found;
    rg_group *group = rg_new();
    add(group, find_stack, &found, 3 * MIB);
    int code = rg_run(group);
    no_guard_install = no_mprotect = 0;
    CHECK(code == 0 || code == RG_ESPAWN);
    rg_free(group);
}

/* ---- what is kept --------------------------------------------------------------------
 */

/* Bytes of address space, and of memory. */
static void footprint(size_t *mapped, size_t *resident) {
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu %zu", mapped, resident) == 2);
    fclose(statm);
    *mapped *= (size_t)sysconf(_SC_PAGESIZE);
    *resident *= (size_t)sysconf(_SC_PAGESIZE);
}

static size_t touched; /* bytes of each stack */

static int touch(void *userdata) {
    char bytes[touched];
    memset(bytes, 1, sizeof bytes);
    __asm__ volatile("" : : "r"(bytes) : "memory");
    (void)userdata;
    return 0;
}

/* Many touch little: gigabytes that come and go have the whole machine stand still for
 * half a second, under the tests that run beside this one. */
enum { LITTLE = 64 << 10, MUCH = 1 << 20 };

static void run_many(size_t bytes, int count) {
    touched = bytes;
    rg_group *group = rg_new();
    for (int i = 0; i < count; i++)
        add(group, touch, group, 0);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);
}

static void kept_within_bounds(void) {
    size_t mapped, resident, mapped_then, resident_then;
    run_many(MUCH, 100);
    footprint(&mapped, &resident);
    for (int i = 0; i < 50; i++)
        run_many(MUCH, 1 + i * 2);
    footprint(&mapped_then, &resident_then);
    CHECK(mapped_then < mapped + 8 * MIB);
    CHECK(resident_then < resident + 2 * MIB);
    run_many(LITTLE, 2000);
    footprint(&mapped_then, &resident_then);
    CHECK(mapped_then < mapped + 8 * MIB);
    CHECK(resident_then < resident + 4 * MIB);
}

/* Notices stacks that keep the memory that was touched once: a group that is over
 * holds little of it, from the first one on. */
static void memory_comes_back(void) {
    size_t mapped, before, after;
    run_many(MUCH, 2);
    footprint(&mapped, &before);
    for (int i = 0; i < 3; i++) {
        run_many(MUCH, 100); /* 100 MiB */
        footprint(&mapped, &after);
        CHECK(after < before + 16 * MIB);
    }
}

static void given_back(void) { check_in_child(memory_comes_back); }

/* ---- stuck
 * ------------------------------------------------------------------------------ */

static gate freedom = GATE_INIT, freed = GATE_INIT;

static int stay(void *userdata) {
    unsigned char mark[4096];
    memset(mark, 0xA5, sizeof mark);
    __asm__ volatile("" : : "r"(mark) : "memory");
    gate_await(&freedom, 1);
    int whole = 1;
    for (size_t i = 0; i < sizeof mark; i++)
        whole &= mark[i] == 0xA5;
    *(int *)userdata = whole;
    gate_pass(&freed);
    return 0;
}

/* A stuck actor's stack is nobody else's, and goes back when it has ended. */
static void stuck_keeps_its_stack(void) {
    int whole = 0;
    run_many(MUCH, 8);
    rg_group *group = rg_new();
    for (int i = 0; i < 7; i++)
        add(group, until_stop, group, 0);
    add(group, stay, &whole, 0);
    CHECK_INT(rg_set_grace(group, 0), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_stop(group, 1), 0);
    int code;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, RG_ETIMEDOUT);
    rg_free(group);
    for (int i = 0; i < 100; i++)
        run_many(MUCH, 8);
    size_t mapped, mapped_then, resident;
    footprint(&mapped, &resident);
    gate_pass(&freedom);
    gate_await(&freed, 1);
    await_threads(1);
    CHECK_INT(whole, 1);
    run_many(MUCH, 8);
    run_many(MUCH, 8);
    footprint(&mapped_then, &resident);
    CHECK(mapped_then <= mapped - 8 * 8 * MIB);
}

/* ---- limits
 * ------------------------------------------------------------------------------ */

static int limited; /* the resource */

static void little_address_space(void) {
    size_t mapped, resident;
    footprint(&mapped, &resident);
    struct rlimit limit = {mapped + 100 * MIB, mapped + 100 * MIB};
    CHECK_INT(setrlimit(limited, &limit), 0);
    rg_group *group = rg_new();
    for (int i = 0; i < 1000; i++) /* more than the cache has */
        add(group, until_stop, group, 0);
    CHECK_INT(rg_run(group), RG_ESPAWN);
    rg_free(group);
    await_threads(1);

    group = rg_new();
    for (int i = 0; i < 100; i++)
        add(group, return_seven, NULL, 64 << 10);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
    run_many(MUCH, 8);
    /* What the library keeps leaves the program most of it. */
    void *rest =
        mmap(NULL, 55 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(rest != MAP_FAILED);
}

static void address_space(void) {
    limited = RLIMIT_AS;
    check_in_child(little_address_space);
    limited = RLIMIT_DATA;
    check_in_child(little_address_space);
}

/* Under a limit that is wide enough, no more is kept than the C library keeps. */
static void kept_under_a_limit(void) {
    size_t before, after, resident;
    footprint(&before, &resident);
    struct rlimit limit = {before + 8000 * MIB, before + 8000 * MIB};
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
    run_many(LITTLE, 500);
    footprint(&after, &resident);
    CHECK(after < before + 100 * MIB);
    run_many(LITTLE, 900);
}

static void wide_limit(void) { check_in_child(kept_under_a_limit); }

/* A kernel that promises no more memory than it has refuses one big mapping;
 * the C library then makes the stacks one by one, as far as it goes. */
static void overcommit_off(void) {
    most_mapped = 16 * MIB;
    run_many(MUCH, 30);
    most_mapped = SIZE_MAX;
}

int main(void) {
    watchdog(60);
    CASE(given_back);
    CASE(sizes);
    CASE(the_commonest_size_is_shared);
    CASE(guards);
    CASE(without_guard_install);
    CASE(unguardable);
    CASE(kept_within_bounds);
    CASE(stuck_keeps_its_stack);
    CASE(address_space);
    CASE(wide_limit);
    CASE(overcommit_off);
    return finish("stacks");
}
