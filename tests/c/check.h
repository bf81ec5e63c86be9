/* Checks, a watchdog and gates for the C tests. Each test is one program: it
 * ends with status 0 and `name: N passed`, or at the first failed check. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <rungroup.h>

#ifdef SIGRTMAX
#define LAST_SIGNAL SIGRTMAX
#else
#define LAST_SIGNAL SIGUSR2
#endif

/* ---- cases and checks ---------------------------------------------------- */

static int cases_passed;
static const char *volatile running_case = "";

#define CASE(function)                                                                   \
    do {                                                                                 \
        running_case = #function;                                                        \
        function();                                                                      \
        cases_passed++;                                                                  \
    } while (0)

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, wanted)                                                        \
    check_int((long long)(actual), (long long)(wanted), #actual, __FILE__, __LINE__)
#define CHECK_STR(actual, wanted)                                                        \
    check_str((actual), (wanted), #actual, __FILE__, __LINE__)

/* _exit: actors may still be running. */
static inline void check_failed(void) {
    fflush(stdout);
    fflush(stderr);
    _exit(1);
}

static inline void check_true(int holds, const char *what, const char *file, int line) {
    if (!holds) {
        fprintf(stderr, "%s:%d: %s: not so: %s\n", file, line, running_case, what);
        check_failed();
    }
}

static inline void check_int(long long actual, long long wanted, const char *what,
                             const char *file, int line) {
    if (actual != wanted) {
        fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", file, line, running_case,
                what, actual, wanted);
        check_failed();
    }
}

static inline void check_str(const char *actual, const char *wanted, const char *what,
                             const char *file, int line) {
    if (actual == NULL || strcmp(actual, wanted) != 0) {
        fprintf(stderr, "%s:%d: %s: %s is \"%s\", not \"%s\"\n", file, line, running_case,
                what, actual ? actual : "(null)", wanted);
        check_failed();
    }
}

static inline int finish(const char *name) {
    printf("%s: %d passed\n", name, cases_passed);
    return 0;
}

/* ---- the watchdog: turns a hang into a failure ----------------------------- */

static inline void on_watchdog(int signal) {
    static const char text[] = "watchdog: hangs in ";
    ssize_t ignored = write(2, text, sizeof text - 1);
    ignored = write(2, running_case, strlen(running_case));
    ignored = write(2, "\n", 1);
    (void)ignored;
    _exit(signal);
}

/* A handler that asks for an alternate stack where there is none runs on the
 * main thread's, which valgrind does not extend for it. */
static inline void extend_stack(void) {
    volatile char deep[64 << 10];
    deep[0] = 0;
    (void)deep[0];
}

static inline void watchdog(unsigned seconds) {
    extend_stack();
    signal(SIGALRM, on_watchdog);
    alarm(seconds);
}

/* ---- gates ------------------------------------------------------------------ */

/* Counts what happened; wait for any number of it. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
} gate;

#define GATE_INIT                                                                        \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline void gate_pass(gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->count++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static inline void gate_await(gate *gate, int count) {
    pthread_mutex_lock(&gate->lock);
    while (gate->count < count)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static inline int gate_count(gate *gate) {
    pthread_mutex_lock(&gate->lock);
    int count = gate->count;
    pthread_mutex_unlock(&gate->lock);
    return count;
}

/* ---- what the process holds --------------------------------------------------- */

static inline int entries(const char *path) {
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    int count = 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

/* Not by reading /proc/self/task: the listing ends early at a thread that is
 * just going. */
static inline int threads(void) {
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    char line[256];
    int count = 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "Threads: %d", &count) == 1)
            break;
    fclose(status);
    return count;
}
/* Without the one that reads the directory. */
static inline int descriptors(void) { return entries("/proc/self/fd") - 1; }

/* A joined thread's entry goes a moment after the join. The watchdog bounds it. */
static inline void await_threads(int count) {
    while (threads() > count)
        sched_yield();
    CHECK_INT(threads(), count);
}

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- children ------------------------------------------------------------------ */

/* Runs the function in a forked child; gives the status that waitpid gave. */
static inline int in_child(void (*function)(void)) {
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watchdog(30);
        function();
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    return status;
}

static inline void check_in_child(void (*function)(void)) {
    int status = in_child(function);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

/* ---- stderr, read back ------------------------------------------------------------ */

static inline int stderr_begin(FILE **kept) {
    *kept = tmpfile();
    CHECK(*kept != NULL);
    fflush(stderr);
    int before = dup(2);
    dup2(fileno(*kept), 2);
    return before;
}

static inline void stderr_end(int before, FILE *kept, char *text, size_t size) {
    dup2(before, 2);
    close(before);
    rewind(kept);
    size_t length = fread(text, 1, size - 1, kept);
    text[length] = 0;
    fclose(kept);
}

/* ---- actors that every test needs ---------------------------------------------------
 */

/* Waits for the group, which is its userdata, to stop. */
static inline int until_stop(void *group) {
    rg_wait_stop((const rg_group *)group, -1);
    return 0;
}

static inline int return_seven(void *userdata) {
    (void)userdata;
    return 7;
}

static inline void count_release(void *counter) {
    __sync_fetch_and_add((int *)counter, 1);
}

static inline rg_actor_report report_of(const rg_group *group, size_t index) {
    rg_actor_report report;
    memset(&report, 0, sizeof report);
    report.size = sizeof report;
    CHECK_INT(rg_get_report(group, index, &report), 0);
    return report;
}

static inline rg_summary summary_of(const rg_group *group) {
    rg_summary summary;
    memset(&summary, 0, sizeof summary);
    summary.size = sizeof summary;
    CHECK_INT(rg_get_summary(group, &summary), 0);
    return summary;
}

static inline rg_actor actor_of(const char *name, rg_execute_fn execute,
                                rg_interrupt_fn interrupt, void *userdata) {
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.name = name;
    actor.execute = execute;
    actor.interrupt = interrupt;
    actor.userdata = userdata;
    return actor;
}

#endif
