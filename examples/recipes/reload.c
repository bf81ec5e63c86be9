/* SIGHUP makes an actor read its settings again; SIGINT and SIGTERM stop the group. */
#include <poll.h>
#include <pthread.h>
#include <rungroup.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

static rg_group *group;

static void load_settings(void) {
    puts("settings loaded");
    fflush(stdout);
}

static int reload(void *set) {
    int fd = signalfd(-1, set, SFD_CLOEXEC);
    if (fd < 0)
        return rg_fail(1, "no signalfd");
    load_settings();
    struct pollfd hangup = {fd, POLLIN, 0};
    struct signalfd_siginfo info;
    while (rg_poll(group, &hangup, 1, -1) > 0)
        if (read(fd, &info, sizeof info) == sizeof info)
            load_settings();
    close(fd);
    return 0;
}

int main(void) {
    /* Blocked here, and so in every thread that the group starts: a SIGHUP waits for
     * signalfd, and does not kill the process. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    group = rg_new();
    if (rg_add(group, reload, rg_interrupt_none, &set) != 0 ||
        rg_add_signals(group, NULL, 0) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(group);
    rg_free(group);
    return code;
}
