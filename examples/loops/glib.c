/* GLib's main loop stays in main, and watches the group, which rg_start has started.
 * The loop ends when the group is over, by rg_done_fd. Ends on SIGINT and SIGTERM.
 *
 * An actor that is a GMainLoop watches rg_stop_fd in the same way. An interrupt that
 * calls g_main_loop_quit is not enough: before g_main_loop_run that is forgotten, and the
 * loop never ends, where the descriptor stays readable. */
#include <glib-unix.h>
#include <rungroup.h>
#include <stdio.h>
#include <unistd.h>

static gboolean over(gint fd, GIOCondition condition, gpointer loop) {
    (void)fd, (void)condition;
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

static gboolean tick(gpointer unused) {
    (void)unused;
    puts("tick");
    fflush(stdout);
    return G_SOURCE_CONTINUE;
}

static int works(void *group) { return rg_wait_stop(group, -1) < 0; }

int main(void) {
    rg_group *group = rg_new();
    if (rg_add_named(group, "worker", works, rg_interrupt_none, group) != 0 ||
        rg_add_signals(group, NULL, 0) != 0 || rg_start(group) != 0) {
        fprintf(stderr, "%s\n", rg_last_error());
        return 1;
    }
    GMainLoop *loop = g_main_loop_new(NULL, FALSE);
    g_unix_fd_add(rg_done_fd(group), G_IO_IN, over, loop);
    tick(NULL);
    g_timeout_add_seconds(1, tick, NULL);
    g_main_loop_run(loop);
    g_main_loop_unref(loop);
    int code = 1;
    if (rg_wait(group, -1, &code) < 0)
        fprintf(stderr, "%s\n", rg_last_error());
    rg_print_report(group, STDERR_FILENO);
    rg_free(group);
    return code;
}
