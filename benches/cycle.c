/* One life of a group, timed: N actors of which N-1 block until they are
 * interrupted, and one returns. Against the same written by hand with pthreads.
 *
 *     cycle N bar|imm ROUNDS CYCLES
 *
 * bar: the one returns when all have started; imm: at once. The systems take
 * turns in each round, starting with another one each time. Prints a line a
 * round and system: its name, then the nanoseconds of a whole cycle, and those
 * from the return to the end of the run (medians of CYCLES). */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rungroup.h>

static int actors;
static int wait_for_all;
static int64_t returned_at;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void check(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "cycle: %s\n", what);
        exit(1);
    }
}

/* ---- the barrier of `bar`, the same for all systems ---------------------------- */

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_started = PTHREAD_COND_INITIALIZER;
static int started;

static void note_start(void) {
    if (!wait_for_all)
        return;
    pthread_mutex_lock(&start_lock);
    if (++started == actors)
        pthread_cond_signal(&all_started);
    pthread_mutex_unlock(&start_lock);
}

static void await_start(void) {
    note_start();
    if (wait_for_all) {
        pthread_mutex_lock(&start_lock);
        while (started < actors)
            pthread_cond_wait(&all_started, &start_lock);
        pthread_mutex_unlock(&start_lock);
    }
    returned_at = now_ns();
}

/* ---- rungroup ---------------------------------------------------------------------- */

static int first(void *group) {
    (void)group;
    await_start();
    return 7;
}

static int blocks(void *group) {
    note_start();
    rg_wait_stop(group, -1);
    return 0;
}

static int64_t rungroup(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < actors; i++)
        check(rg_add(group, i == 0 ? first : blocks, rg_interrupt_none, group) == 0,
              "rg_add");
    check(rg_run(group) == 7, "rg_run");
    int64_t ended_at = now_ns();
    rg_free(group);
    return ended_at;
}

/* ---- by hand --------------------------------------------------------------------------
 */

typedef struct crew {
    pthread_mutex_t lock;
    pthread_cond_t stopped, returned;
    int stopping, has_returned, code;
} crew;

static void *hand_first(void *argument) {
    crew *crew = argument;
    await_start();
    pthread_mutex_lock(&crew->lock);
    crew->has_returned = 1;
    crew->code = 7;
    pthread_cond_signal(&crew->returned);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void *hand_blocks(void *argument) {
    crew *crew = argument;
    note_start();
    pthread_mutex_lock(&crew->lock);
    while (!crew->stopping)
        pthread_cond_wait(&crew->stopped, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static int64_t by_hand(size_t stack_size) {
    crew crew = {PTHREAD_MUTEX_INITIALIZER,
                 PTHREAD_COND_INITIALIZER,
                 PTHREAD_COND_INITIALIZER,
                 0,
                 0,
                 0};
    pthread_t *threads = malloc((size_t)actors * sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    for (int i = 0; i < actors; i++)
        check(pthread_create(&threads[i], &attributes, i == 0 ? hand_first : hand_blocks,
                             &crew) == 0,
              "pthread_create");
    pthread_attr_destroy(&attributes);

    pthread_mutex_lock(&crew.lock);
    while (!crew.has_returned)
        pthread_cond_wait(&crew.returned, &crew.lock);
    crew.stopping = 1;
    pthread_cond_broadcast(&crew.stopped);
    pthread_mutex_unlock(&crew.lock);
    for (int i = 0; i < actors; i++)
        pthread_join(threads[i], NULL);
    check(crew.code == 7, "the code");
    int64_t ended_at = now_ns();
    free(threads);
    return ended_at;
}

static int64_t hand_8m(void) { return by_hand(8 << 20); }
static int64_t hand_64k(void) { return by_hand(64 << 10); }

/* ---- timing
 * ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int64_t (*cycle)(void);
} systems[] = {
    {"rungroup", rungroup}, {"pthread-8M", hand_8m}, {"pthread-64K", hand_64k}};

enum { SYSTEMS = sizeof systems / sizeof *systems };

static int ascending(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void measure(int system, int cycles) {
    int64_t *whole = malloc((size_t)cycles * sizeof *whole);
    int64_t *teardown = malloc((size_t)cycles * sizeof *teardown);
    for (int i = 0; i < cycles; i++) {
        started = 0;
        int64_t began = now_ns(), ended_at = systems[system].cycle();
        whole[i] = now_ns() - began;
        teardown[i] = ended_at - returned_at;
    }
    qsort(whole, (size_t)cycles, sizeof *whole, ascending);
    qsort(teardown, (size_t)cycles, sizeof *teardown, ascending);
    printf("%s %lld %lld\n", systems[system].name, (long long)whole[cycles / 2],
           (long long)teardown[cycles / 2]);
    free(whole);
    free(teardown);
}

int main(int count, char **arguments) {
    check(count == 5, "usage: cycle N bar|imm ROUNDS CYCLES");
    actors = atoi(arguments[1]);
    wait_for_all = strcmp(arguments[2], "bar") == 0;
    int rounds = atoi(arguments[3]), cycles = atoi(arguments[4]);
    check(actors > 0 && rounds > 0 && cycles > 0, "numbers above 0, please");
    for (int i = 0; i < SYSTEMS; i++) /* warm */
        systems[i].cycle(), started = 0;
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < SYSTEMS; i++)
            measure((round + i) % SYSTEMS, cycles);
    return 0;
}
