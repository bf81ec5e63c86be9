/* An actor that is an epoll loop: the group's stop descriptor is one of those that it
 * watches, so that it needs no interrupt of its own. Ends on SIGINT and SIGTERM. */
#include <errno.h>
#include <rungroup.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int loop(void *userdata) {
    int stop = rg_stop_fd(userdata), epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct epoll_event stopping = {.events = EPOLLIN, .data.fd = stop};
    struct epoll_event ticking = {.events = EPOLLIN, .data.fd = timer};
    struct itimerspec soon = {.it_value.tv_nsec = 1, .it_interval.tv_sec = 1};
    if (stop < 0 || timer < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &stopping) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &ticking) != 0 ||
        timerfd_settime(timer, 0, &soon, NULL) != 0)
        return rg_failf(1, "the loop could not be set up: %s", strerror(errno));
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(epoll, &event, 1, -1);
        if (count < 0 && errno != EINTR)
            return rg_failf(1, "epoll_wait: %s", strerror(errno));
        if (count < 1)
            continue;
        if (event.data.fd == stop) /* not read: it stays readable for all */
            break;
        uint64_t ticks;
        if (read(timer, &ticks, sizeof ticks) == sizeof ticks) {
            puts("tick");
            fflush(stdout);
        }
    }
    close(timer);
    close(epoll);
    return 0;
}

int main(void) {
    rg_group *group = rg_new();
    if (rg_add_named(group, "loop", loop, rg_interrupt_none, group) != 0 ||
        rg_add_signals(group, NULL, 0) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    int code = rg_run(group);
    rg_print_report(group, STDERR_FILENO);
    rg_free(group);
    return code;
}
