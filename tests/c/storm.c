/* Signals that interrupt every system call, all the time: no wait ends early,
 * none is lost. */
#include "check.h"

#include <poll.h>

static void nothing(int signal) { (void)signal; }

static pthread_t targets[8];
static int count_of_targets, over;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void enlist(void) {
    pthread_mutex_lock(&lock);
    targets[count_of_targets++] = pthread_self();
    pthread_mutex_unlock(&lock);
}

static void discharge(void) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count_of_targets; i++)
        if (pthread_equal(targets[i], pthread_self()))
            targets[i] = targets[--count_of_targets];
    pthread_mutex_unlock(&lock);
}

static long sent;

/* To every thread that is enlisted, over and over. */
static void *storm(void *unused) {
    (void)unused;
    while (!__sync_fetch_and_add(&over, 0)) {
        pthread_mutex_lock(&lock);
        for (int i = 0; i < count_of_targets; i++)
            sent += pthread_kill(targets[i], SIGUSR1) == 0;
        pthread_mutex_unlock(&lock);
        sched_yield();
    }
    return NULL;
}

static int waits(void *userdata) {
    rg_group *group = userdata;
    enlist();
    int64_t began = now_ns();
    while (rg_wait_stop(group, 5) == 0) {
        CHECK(now_ns() - began >= 5000000);
        began = now_ns();
    }
    discharge();
    return 1;
}

static int polls(void *userdata) {
    rg_group *group = userdata;
    enlist();
    for (;;) {
        int64_t began = now_ns();
        CHECK_INT(rg_poll(group, NULL, 0, 5), 0);
        if (rg_stopping(group))
            break;
        CHECK(now_ns() - began >= 5000000);
    }
    discharge();
    return 2;
}

static int ends_it(void *userdata) {
    enlist();
    for (int i = 0; i < 10; i++)
        CHECK_INT(rg_wait_stop(userdata, 3), 0);
    discharge();
    return 7;
}

static void groups_in_a_storm(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = nothing; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, storm, NULL), 0);
    enlist();
    for (int round = 0; round < 30; round++) {
        rg_group *group = rg_new();
        int code = 0, signal = SIGUSR2;
        CHECK_INT(rg_set_grace(group, round % 2 ? 60000 : -1), 0);
        CHECK_INT(rg_add(group, waits, rg_interrupt_none, group), 0);
        CHECK_INT(rg_add(group, polls, rg_interrupt_none, group), 0);
        CHECK_INT(rg_add(group, ends_it, rg_interrupt_none, group), 0);
        CHECK_INT(rg_add_signals(group, &signal, 1), 0);
        if (round % 3) {
            CHECK_INT(rg_run(group), 7);
        } else {
            CHECK_INT(rg_start(group), 0);
            CHECK_INT(rg_wait(group, 0, &code), 0);
            CHECK_INT(rg_wait(group, -1, &code), 1);
            CHECK_INT(code, 7);
        }
        rg_free(group);
    }
    discharge();
    __sync_fetch_and_add(&over, 1);
    pthread_join(thread, NULL);
    await_threads(1);
    printf("storm: %ld signals\n", sent);
    CHECK(sent > 1000);
}

int main(void) {
    watchdog(120);
    CASE(groups_in_a_storm);
    return finish("storm");
}
