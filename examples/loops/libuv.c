/* An actor that is a libuv loop, which polls the group's stop descriptor. Ends on SIGINT
 * and SIGTERM. libuv's own signal handles are not needed. */
#include <rungroup.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

static void tick(uv_timer_t *timer) {
    (void)timer;
    puts("tick");
    fflush(stdout);
}

static void close_one(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void stopping(uv_poll_t *stop, int status, int events) {
    (void)status, (void)events;
    uv_walk(stop->loop, close_one, NULL); /* uv_run returns when all are closed */
}

static int loop(void *userdata) {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_poll_t stop;
    int failed = uv_loop_init(&loop);
    if (failed)
        return rg_fail(1, uv_strerror(failed));
    if ((failed = uv_poll_init(&loop, &stop, rg_stop_fd(userdata))) ||
        (failed = uv_poll_start(&stop, UV_READABLE, stopping)) ||
        (failed = uv_timer_init(&loop, &timer)) ||
        (failed = uv_timer_start(&timer, tick, 0, 1000)))
        uv_walk(&loop, close_one, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return failed ? rg_fail(1, uv_strerror(failed)) : 0;
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
