/*
 * Four components that live and die together: a state machine, an HTTP server
 * that shows its state, a cron job that reads it, and a signal listener.
 *
 *     ./four_actors [port]       8080 if not given; 0: any that is free
 *     curl localhost:8080/       the state
 *     curl localhost:8080/slow   takes two seconds: try Ctrl-C meanwhile
 *     curl localhost:8080/hang   longer than the grace: the report says who is stuck
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <rungroup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct app {
    rg_group *group;
    uint16_t port;
    int quit[2];          /* a pipe: closing its writing end ends the state machine */
    pthread_mutex_t lock; /* of the fields below */
    pthread_cond_t idle;  /* no request is being answered */
    int requests;         /* those that are */
    unsigned step;
};

static void describe(struct app *app, char *text, size_t size) {
    static const char *const lights[] = {"red", "green", "yellow"};
    pthread_mutex_lock(&app->lock);
    unsigned step = app->step;
    pthread_mutex_unlock(&app->lock);
    snprintf(text, size, "step %u: %s", step, lights[step % 3]);
}

/* The state machine: a traffic light. It has a way of its own to be stopped. */

static int run_machine(void *userdata) {
    struct app *app = userdata;
    struct pollfd quit = {.fd = app->quit[0], .events = POLLIN};
    for (;;) {
        int ready = poll(&quit, 1, 400);
        if (ready > 0)
            return 0;
        pthread_mutex_lock(&app->lock);
        app->step += ready == 0; /* else a signal came: not a step */
        pthread_mutex_unlock(&app->lock);
    }
}

static void stop_machine(const rg_cause *cause, void *userdata) {
    (void)cause;
    close(((struct app *)userdata)->quit[1]);
}

/* The HTTP server: a thread for each connection, made by libmicrohttpd. */

static void take_time(time_t seconds) {
    struct timespec left = {.tv_sec = seconds, .tv_nsec = 0};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static void count_requests(struct app *app, int change) {
    pthread_mutex_lock(&app->lock);
    app->requests += change;
    if (app->requests == 0)
        pthread_cond_signal(&app->idle);
    pthread_mutex_unlock(&app->lock);
}

static enum MHD_Result answer(void *userdata, struct MHD_Connection *connection,
                              const char *url, const char *method, const char *version,
                              const char *body, size_t *body_size, void **seen) {
    struct app *app = userdata;
    (void)version;
    (void)body;
    if (*seen == NULL) { /* the headers are here; the same request comes again */
        *seen = app;
        count_requests(app, +1);
        return MHD_YES;
    }
    if (*body_size > 0) { /* nobody wants it */
        *body_size = 0;
        return MHD_YES;
    }
    printf("http: %s %s\n", method, url);
    if (strcmp(url, "/slow") == 0)
        take_time(2);
    else if (strcmp(url, "/hang") == 0)
        take_time(60);
    char text[64];
    describe(app, text, sizeof text - 1);
    strcat(text, "\n");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

static void answered(void *userdata, struct MHD_Connection *connection, void **seen,
                     enum MHD_RequestTerminationCode why) {
    (void)connection, (void)why;
    if (*seen != NULL)
        count_requests(userdata, -1);
}

static int serve(void *userdata) {
    struct app *app = userdata;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(app->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC,
        app->port, NULL, NULL, answer, app, MHD_OPTION_SOCK_ADDR, &address,
        MHD_OPTION_NOTIFY_COMPLETED, answered, app, MHD_OPTION_END);
    if (daemon == NULL) {
        char why[128];
        snprintf(why, sizeof why, "cannot listen on port %d: %s", app->port,
                 strerror(errno));
        return rg_fail(1, why);
    }
    int port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    printf("http: listening on http://127.0.0.1:%d/\n", port);

    rg_wait_stop(app->group, -1);

    /* No new connections; those who are being served get their answer. */
    MHD_socket listener = MHD_quiesce_daemon(daemon);
    pthread_mutex_lock(&app->lock);
    printf("http: stopping, %d in flight\n", app->requests);
    while (app->requests > 0)
        pthread_cond_wait(&app->idle, &app->lock);
    pthread_mutex_unlock(&app->lock);
    MHD_stop_daemon(daemon);
    close(listener);
    return 0;
}

/* The cron job: its pause ends when the group stops. */

static int run_cron(void *userdata) {
    struct app *app = userdata;
    while (rg_wait_stop(app->group, 1000) == 0) {
        char text[64];
        describe(app, text, sizeof text);
        printf("cron: %s\n", text);
    }
    return 0;
}

static int add(struct app *app, const char *name, rg_execute_fn execute,
               rg_interrupt_fn interrupt) {
    rg_actor actor = {.size = sizeof actor, .name = name, .execute = execute};
    actor.interrupt = interrupt;
    actor.userdata = app;
    return rg_add_actor(app->group, &actor);
}

int main(int argc, char **argv) {
    char *end = "";
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 8080;
    if (argc > 2 || *end != '\0' || port < 0 || port > 65535) {
        fprintf(stderr, "usage: %s [port]\n", argv[0]);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    rg_group *group = rg_new();
    struct app app = {.group = group, .port = (uint16_t)port};
    pthread_mutex_init(&app.lock, NULL);
    pthread_cond_init(&app.idle, NULL);
    int result = RG_ENOMEM;
    /* Staged: the state machine is stopped last, when nobody reads it any more. */
    if (pipe(app.quit) == 0 && rg_set_order(group, RG_ORDER_STAGED) == 0 &&
        rg_set_grace(group, 5000) == 0 &&
        add(&app, "machine", run_machine, stop_machine) == 0 &&
        add(&app, "http", serve, rg_interrupt_none) == 0 &&
        add(&app, "cron", run_cron, rg_interrupt_none) == 0 &&
        rg_add_signals(group, NULL, 0) == 0)
        result = rg_run(group);
    const rg_cause *cause = rg_get_cause(group);
    if (cause == NULL) { /* nothing was started */
        fprintf(stderr, "four_actors: %s\n", rg_strerror(result));
        return 1;
    }
    char report[4096];
    rg_format_report(group, RG_FORMAT_TEXT, report, sizeof report);
    fputs(report, stdout);
    int code = cause->code;
    if (result == RG_ETIMEDOUT) /* a stuck actor still uses what exit would destroy */
        rg_exit(code);
    rg_free(group);
    return code;
}
