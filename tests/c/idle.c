/* A group that waits costs nothing: argv[1] seconds (10) of 1000 actors, with
 * every thread of the library's own there is, without CPU time or a wake-up. */
#include "check.h"

#include <sys/resource.h>

enum { ACTORS = 1000 };

static gate started = GATE_INIT;

static int waits(void *group) {
    gate_pass(&started);
    return until_stop(group);
}

static int polls(void *group) {
    gate_pass(&started);
    return rg_poll(group, NULL, 0, -1);
}

static void sleep_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* How often all threads but this one have been switched away from. */
static long switches(void) {
    long sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[128];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        CHECK(status != NULL);
        long count;
        while (fgets(line, sizeof line, status) != NULL)
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %ld", &count) == 1)
                sum += count;
        fclose(status);
        seen++;
    }
    closedir(tasks);
    CHECK_INT(seen, ACTORS + 3); /* and one that drives, two that interrupt */
    return sum;
}

/* They count themselves just before they wait: until that has come to rest. */
static long settled_switches(void) {
    for (long before = -1, now = switches();; before = now, now = switches()) {
        if (now == before)
            return now;
        sleep_ms(20);
    }
}

static int seconds = 10;

static void idle(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_grace(group, 30000), 0);
    for (int i = 0; i < ACTORS; i++)
        CHECK_INT(rg_add(group, i % 10 ? waits : polls, rg_interrupt_none, group), 0);
    CHECK_INT(rg_start(group), 0);
    gate_await(&started, ACTORS);
    long switches_before = settled_switches();
    int64_t cpu_before = cpu_ns();
    sleep_ms(1000L * seconds);
    int64_t cpu = cpu_ns() - cpu_before;
    long switched = switches() - switches_before;
    printf("idle: %d actors, %d s: %lld us of CPU, %ld switches\n", ACTORS, seconds,
           (long long)cpu / 1000, switched);
    CHECK_INT(switched, 0);
    CHECK(cpu < 5000000); /* this thread's own sleep */
    CHECK_INT(rg_stop(group, 7), 0);
    int code;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 7);
    rg_free(group);
}

int main(int count, char **arguments) {
    if (count > 1)
        seconds = atoi(arguments[1]);
    watchdog(60 + (unsigned)seconds);
    CASE(idle);
    return finish("idle");
}
