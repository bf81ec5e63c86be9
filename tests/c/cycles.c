/* Many short lives: argv[1] groups (20000) of 8 actors each, ended by a return,
 * rg_stop, a signal, or several of these at once. Nothing hangs, no interrupt
 * is lost, nothing leaks. */
#include "check.h"

#include <malloc.h>
#include <semaphore.h>

#define ACTORS 8
#define WARM_UP 500

enum trigger { BY_RETURN = 1, BY_STOP = 2, BY_SIGNAL = 4, TRIGGERS = 8 };

typedef struct cycle cycle;

/* Ends by its semaphore, which only its interrupt posts: a lost one hangs. */
typedef struct actor {
    cycle *cycle;
    sem_t woken;
    int trigger; /* what it does to end the group */
    int spin;    /* for how long it hesitates */
    int executed, interrupted, released;
} actor;

struct cycle {
    rg_group *group;
    actor actors[ACTORS];
};

static void hesitate(int spin) {
    for (volatile int i = 0; i < spin; i++) {
    }
    if (spin % 3 == 0)
        sched_yield();
}

static void pull(rg_group *group, int trigger) {
    if (trigger == BY_STOP)
        rg_stop(group, 99);
    if (trigger == BY_SIGNAL)
        kill(getpid(), SIGTERM);
}

static int execute(void *userdata) {
    actor *self = userdata;
    self->executed++;
    hesitate(self->spin);
    if (self->trigger == BY_RETURN)
        return 7;
    pull(self->cycle->group, self->trigger);
    while (sem_wait(&self->woken) != 0) {
    }
    return 1;
}

static void interrupt(const rg_cause *cause, void *userdata) {
    actor *self = userdata;
    (void)cause;
    self->interrupted++;
    sem_post(&self->woken);
}

static void release(void *userdata) { ((actor *)userdata)->released++; }

static unsigned random_state = 20261124;

static unsigned next_random(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 10;
}

static void one_cycle(cycle *cycle) {
    rg_group *group = cycle->group = rg_new();
    int triggers = 1 + (int)(next_random() % (TRIGGERS - 1));
    int listens = (triggers & BY_SIGNAL) || next_random() % 8 == 0;
    int from_outside = next_random() % 4 == 0;
    CHECK_INT(rg_set_order(group, (int)(next_random() % 3)), 0);
    CHECK_INT(rg_set_grace(group, next_random() % 4 == 0 ? 60000 : -1), 0);

    int assigned[ACTORS] = {0};
    for (int bit = BY_RETURN; bit < TRIGGERS; bit *= 2)
        while (triggers & bit) {
            int chosen = (int)(next_random() % ACTORS);
            if (assigned[chosen] == 0) {
                assigned[chosen] = bit;
                break;
            }
        }
    for (int i = 0; i < ACTORS; i++) {
        actor *self = &cycle->actors[i];
        self->cycle = cycle;
        self->trigger = assigned[i];
        self->spin = (int)(next_random() % 3000);
        self->executed = self->interrupted = self->released = 0;
        sem_init(&self->woken, 0, 0);
        rg_actor added;
        memset(&added, 0, sizeof added);
        added.size = sizeof added;
        added.execute = execute;
        added.interrupt = interrupt;
        added.userdata = self;
        added.release = release;
        CHECK_INT(rg_add_actor(group, &added), 0);
    }
    if (listens) {
        int signal = SIGTERM;
        CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    }

    int code = 0;
    if (from_outside) {
        CHECK_INT(rg_start(group), 0);
        hesitate((int)(next_random() % 3000));
        pull(group, 1 << next_random() % 3);
        CHECK_INT(rg_wait(group, -1, &code), 1);
    } else {
        code = rg_run(group);
    }
    int expected = (code == 7 && (triggers & BY_RETURN)) ||
                   (code == 99 && ((triggers & BY_STOP) || from_outside)) ||
                   (code == 128 + SIGTERM && listens);
    CHECK(expected);
    rg_free(group);
    for (int i = 0; i < ACTORS; i++) {
        CHECK_INT(cycle->actors[i].executed, 1);
        CHECK_INT(cycle->actors[i].interrupted, 1);
        CHECK_INT(cycle->actors[i].released, 1);
        sem_destroy(&cycle->actors[i].woken);
    }
}

static long resident_kib(void) {
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    char line[256];
    long kib = -1;
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    fclose(status);
    return kib;
}

static int cycles = 20000;

/* What a signal does that comes when nobody listens any more. */
static void pass_by(int signal) { (void)signal; }

static void all_cycles(void) {
    static cycle cycle;
    signal(SIGTERM, pass_by);
    int fds = 0;
    size_t heap = 0;
    long resident = 0;
    for (int i = 0; i < cycles + WARM_UP; i++) {
        if (i == WARM_UP) {
            await_threads(1);
            fds = descriptors();
            heap = mallinfo2().uordblks;
            resident = resident_kib();
        }
        if (i % 1000 == 0)
            alarm(60);
        one_cycle(&cycle);
    }
    await_threads(1);
    CHECK_INT(descriptors(), fds);
    long grown = resident_kib() - resident;
    long long heap_grown = (long long)mallinfo2().uordblks - (long long)heap;
    printf("cycles: memory grew by %ld KiB resident, %lld bytes of heap\n", grown,
           heap_grown);
    CHECK(grown < 4096);
    CHECK(heap_grown < 65536);
    struct sigaction action;
    sigaction(SIGTERM, NULL, &action);
    CHECK(action.sa_handler == pass_by);
}

static int wait_for_stop(void *group) { return rg_wait_stop(group, -1) < 0; }

/* Many threads end at the same moment, and wait for one lock as they do: what a
 * thread allocates for that while it ends, nobody would free. */
static void all_end_at_once(void) {
    size_t heap = 0;
    for (int i = 0; i < 3000; i++) {
        if (i % 500 == 0)
            alarm(60);
        if (i == 500)
            heap = mallinfo2().uordblks;
        rg_group *group = rg_new();
        for (int j = 0; j < 64; j++)
            CHECK_INT(rg_add(group, wait_for_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_start(group), 0);
        rg_stop(group, 3);
        int code = 0;
        CHECK_INT(rg_wait(group, -1, &code), 1);
        CHECK_INT(code, 3);
        rg_free(group);
    }
    long long grown = (long long)mallinfo2().uordblks - (long long)heap;
    printf("cycles: ends at once: %lld bytes of heap\n", grown);
    CHECK(grown < 32768);
}

int main(int count, char **arguments) {
    if (count > 1)
        cycles = atoi(arguments[1]);
    watchdog(60);
    int64_t began = now_ns();
    CASE(all_end_at_once);
    CASE(all_cycles);
    printf("cycles: %d groups in %.1f s\n", cycles, (double)(now_ns() - began) / 1e9);
    return finish("cycles");
}
