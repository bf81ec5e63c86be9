/* What the C and C++ systems share: the clock, the barrier of `bar`, and the
 * command line that ../README.md describes. */
#ifndef CYCLE_H
#define CYCLE_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int actors;
static int wait_for_all, measure_memory;

/* Of the cycle in hand. */
static int64_t first_at, returned_at, ended_at;
static long resident, virtual_size;

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

static void read_memory(long *mapped, long *in_use) {
    FILE *statm = fopen("/proc/self/statm", "r");
    check(statm != NULL && fscanf(statm, "%ld %ld", mapped, in_use) == 2, "statm");
    fclose(statm);
    *mapped *= sysconf(_SC_PAGESIZE);
    *in_use *= sysconf(_SC_PAGESIZE);
}

/* ---- called by the actors -------------------------------------------------------- */

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_started = PTHREAD_COND_INITIALIZER;
static int started;

/* By each of those that wait, first of all. */
static void note_start(void) {
    if (!wait_for_all)
        return;
    pthread_mutex_lock(&start_lock);
    if (++started == 1)
        first_at = now_ns();
    if (started == actors)
        pthread_cond_signal(&all_started);
    pthread_mutex_unlock(&start_lock);
}

/* By the one that returns, first of all: when it may. */
static void await_start(void) {
    note_start();
    if (wait_for_all) {
        pthread_mutex_lock(&start_lock);
        while (started < actors)
            pthread_cond_wait(&all_started, &start_lock);
        pthread_mutex_unlock(&start_lock);
    }
    if (measure_memory)
        read_memory(&virtual_size, &resident);
    returned_at = now_ns();
    if (!wait_for_all)
        first_at = returned_at;
}

/* ---- the command line ----------------------------------------------------------------
 */

typedef struct system_entry {
    const char *name;
    void (*cycle)(void); /* sets ended_at when all have returned */
} system_entry;

static int ascending(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int64_t median(int64_t *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static void one_round(void (*cycle)(void), int cycles) {
    int64_t *times = (int64_t *)malloc(3 * (size_t)cycles * sizeof *times);
    int64_t *whole = times, *teardown = times + cycles, *first = times + 2 * cycles;
    for (int i = 0; i < cycles; i++) {
        started = 0;
        int64_t began = now_ns();
        cycle();
        whole[i] = now_ns() - began;
        teardown[i] = ended_at - returned_at;
        first[i] = first_at - began;
    }
    printf("%lld %lld %lld\n", (long long)median(whole, cycles),
           (long long)median(teardown, cycles), (long long)median(first, cycles));
    free(times);
}

static void one_footprint(void (*cycle)(void)) {
    long mapped, in_use;
    read_memory(&mapped, &in_use);
    started = 0;
    cycle();
    printf("%ld %ld\n", resident - in_use, virtual_size - mapped);
}

static int cycle_main(const system_entry *systems, int count, char **arguments) {
    check(count >= 5, "usage: cycle SYSTEM N bar|imm|mem ROUNDS|- [CYCLES]");
    void (*cycle)(void) = NULL;
    for (; systems->name != NULL; systems++)
        if (strcmp(systems->name, arguments[1]) == 0)
            cycle = systems->cycle;
    check(cycle != NULL, "no such system");
    actors = atoi(arguments[2]);
    measure_memory = strcmp(arguments[3], "mem") == 0;
    wait_for_all = measure_memory || strcmp(arguments[3], "bar") == 0;
    int paced = strcmp(arguments[4], "-") == 0;
    int cycles = count > 5 ? atoi(arguments[5]) : 1;
    check(actors > 0 && cycles > 0, "numbers above 0, please");
    char line[16];
    for (int left = atoi(arguments[4]);
         paced ? fgets(line, sizeof line, stdin) != NULL : left > 0; left--) {
        if (measure_memory)
            one_footprint(cycle);
        else
            one_round(cycle, cycles);
        fflush(stdout);
    }
    return 0;
}

#endif
