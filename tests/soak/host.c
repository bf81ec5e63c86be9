/* Groups of random lives, with actors that plugins bring. For each number N on
 * stdin: N groups, then all that is stuck is let go, and "N" is said.
 *
 *     host SEED ACTORS PLUGIN.so...     ACTORS: how many in a group, 0: any
 */
#include "../c/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>

enum { MOST_PLUGINS = 8, MOST_ACTORS = 6, MOST_HELD = 8 };
enum how { RETURN, FAIL, STOP, STOPPED_BEFORE, SIGNAL, HOLD, HOWS };
typedef int (*join_fn)(rg_group *, const char *);

static join_fn joins[MOST_PLUGINS];
static int plugins;
static int actors;
static uint64_t random_state;
/* Writing ends: closing one lets a stuck actor go. */
static int held[MOST_HELD];
static int holds;

static int any(int below) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((random_state >> 33) % (unsigned)below);
}

static void load_plugin(const char *path) {
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin != NULL && plugins < MOST_PLUGINS);
    void *address = dlsym(plugin, "plugin_join");
    CHECK(address != NULL);
    memcpy(&joins[plugins++], &address, sizeof address);
}

static void let_go(int which) {
    close(held[which]);
    held[which] = held[--holds];
}

static void hesitate(void) {
    for (volatile int i = any(3000); i > 0; i--) {
    }
    if (any(3) == 0)
        sched_yield();
}

/* By the thread that drives the run, alone. */
typedef struct seen {
    int kinds[RG_EVENT_STOPPED + 1];
} seen;

static void observe(const rg_event *event, void *userdata) {
    ((seen *)userdata)->kinds[event->kind]++;
}

static void look_at_report(const rg_group *group) {
    char text[16384];
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) > 20);
    CHECK(strncmp(text, "rungroup: ", 10) == 0);
    CHECK(rg_format_report(group, RG_FORMAT_TRACE, text, sizeof text) > 20);
}

/* rg_run, or its two halves with what ends it in between. */
static int run(rg_group *group, enum how how) {
    if (how < STOP && any(2) == 0)
        return rg_run(group);
    CHECK_INT(rg_start(group), 0);
    hesitate();
    if (how == STOP || how == HOLD)
        CHECK(rg_stop(group, 9) >= 0);
    if (how == SIGNAL)
        kill(getpid(), SIGTERM);
    if (any(2) == 0) {
        struct pollfd done = {rg_done_fd(group), POLLIN, 0};
        CHECK(done.fd >= 0);
        while (poll(&done, 1, -1) < 0)
            CHECK_INT(errno, EINTR);
    }
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    return code;
}

static void one_life(void) {
    enum how how = any(64) == 0 ? HOLD : (enum how)any(HOLD);
    int count = actors != 0 ? actors : 1 + any(MOST_ACTORS), chosen = any(count);
    int listens = how == SIGNAL || any(8) == 0;
    rg_group *group = rg_new();
    CHECK(group != NULL);
    CHECK_INT(rg_set_order(group, any(3)), 0);
    int64_t grace = how == HOLD ? 1 + any(5) : any(2) == 0 ? 60000 : -1;
    CHECK_INT(rg_set_grace(group, grace), 0);
    seen seen = {{0}};
    int observed = how != HOLD && any(4) == 0;
    if (observed)
        CHECK_INT(rg_set_observer(group, observe, &seen), 0);

    int pipe_ends[2];
    char does[32] = "wait";
    if (how == RETURN || how == FAIL)
        strcpy(does, how == RETURN ? "return" : "fail");
    if (how == HOLD) {
        CHECK_INT(pipe(pipe_ends), 0);
        snprintf(does, sizeof does, "hold %d", pipe_ends[0]);
    }
    int first = any(plugins);
    for (int i = 0; i < count; i++)
        CHECK_INT(joins[(first + i) % plugins](group, i == chosen ? does : "wait"), 0);
    if (how == HOLD)
        close(pipe_ends[0]);
    int terminated = SIGTERM;
    if (listens)
        CHECK_INT(rg_add_signals(group, &terminated, 1), 0);
    if (how == STOPPED_BEFORE)
        CHECK(rg_stop(group, 9) >= 0);

    int code = run(group, how);
    const rg_cause *cause = rg_get_cause(group);
    CHECK(cause != NULL);
    if (how == HOLD) {
        CHECK_INT(code, RG_ETIMEDOUT);
        CHECK_INT(report_of(group, (size_t)chosen).stuck & RG_STUCK_EXECUTE,
                  RG_STUCK_EXECUTE);
    } else if (!listens || code != 128 + SIGTERM) { /* that may come from outside */
        CHECK(how != SIGNAL);
        CHECK_INT(cause->index, how < STOP ? chosen : -1);
        CHECK(how == FAIL ? code > 0 : code == (how == RETURN ? 3 : 9));
    }
    if (observed && how != STOPPED_BEFORE) {
        CHECK_INT(seen.kinds[RG_EVENT_STARTED], count + listens);
        CHECK_INT(seen.kinds[RG_EVENT_RETURNED], count + listens);
        CHECK_INT(seen.kinds[RG_EVENT_INTERRUPTED], count + listens);
        CHECK_INT(seen.kinds[RG_EVENT_STOPPED], 1);
    }
    if (any(8) == 0)
        look_at_report(group);
    if (how == HOLD && any(2) == 0) { /* the stuck actor may return during rg_free */
        close(pipe_ends[1]);
        rg_free(group);
        return;
    }
    rg_free(group);
    if (how == HOLD) {
        if (holds == MOST_HELD)
            let_go(any(MOST_HELD));
        held[holds++] = pipe_ends[1];
    }
}

static void pass_by(int signal) { (void)signal; }

int main(int count, char **arguments) {
    CHECK(count > 3);
    random_state = strtoull(arguments[1], NULL, 10);
    actors = atoi(arguments[2]);
    /* For when no group listens. */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = pass_by;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    sigaction(SIGTERM, &action, NULL);
    watchdog(60);
    running_case = "a life";
    for (int i = 3; i < count; i++)
        load_plugin(arguments[i]);
    int lives;
    while (alarm(0), scanf("%d", &lives) == 1) {
        for (int i = 0; i < lives; i++) {
            if (i % 256 == 0)
                alarm(60);
            one_life();
        }
        while (holds > 0)
            let_go(0);
        printf("%d\n", lives);
        fflush(stdout);
    }
    return 0;
}
