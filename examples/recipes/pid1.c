/* Block, load, run: a signal that comes while the program loads is not lost, also as
 * process 1, for which the system ignores a signal that has no handler. */
#include <pthread.h>
#include <rungroup.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static rg_group *group;

static int serve(void *unused) {
    (void)unused;
    puts("serving");
    fflush(stdout);
    rg_wait_stop(group, -1);
    return 0;
}

static void load(void) {
    puts("loading");
    fflush(stdout);
}

int main(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    load();

    group = rg_new();
    if (rg_add(group, serve, rg_interrupt_none, NULL) != 0 ||
        rg_add_signals(group, NULL, 0) != 0 || rg_add_systemd(group) != 0 ||
        rg_set_grace(group, 20000) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(group);
    rg_print_report(group, STDERR_FILENO);
    if (code == RG_ETIMEDOUT)
        rg_exit(1); /* exit would destroy what a stuck actor still uses */
    rg_free(group);
    return code;
}
