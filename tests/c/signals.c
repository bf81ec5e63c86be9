/* The signal actor, and what it leaves of the process's signals; stops.c has how stops
 * really come, chains.c other components' handlers. */
#include "process.h"

#include <errno.h>

static void handle(int signal, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    action.sa_flags = SA_NODEFER;
    CHECK_INT(sigaction(signal, &action, NULL), 0);
}

static volatile sig_atomic_t handled;
static void count_signal(int signal) { handled = handled + (signal > 0); }

static rg_group *listening(const int *signals, size_t count) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add_signals(group, signals, count), 0);
    return group;
}

/* ---- while it listens ------------------------------------------------------------ */

static void own_handler(void) {
    rg_group *group = listening(NULL, 0);
    struct sigaction before[2] = {disposition(SIGINT), disposition(SIGTERM)};
    CHECK_INT(rg_start(group), 0);
    const int signals[2] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        struct sigaction during = disposition(signals[i]);
        CHECK(during.sa_handler != SIG_DFL);
        const int wanted = SA_ONSTACK | SA_SIGINFO | SA_RESTART;
        CHECK_INT(during.sa_flags & wanted, wanted);
    }
    CHECK(same_disposition(disposition(SIGHUP), disposition(SIGUSR1)));
    CHECK_INT(rg_stop(group, 3), 0);
    CHECK_INT(finished(group), 3);
    for (int i = 0; i < 2; i++)
        CHECK(same_disposition(disposition(signals[i]), before[i]));
    rg_free(group);
}

static void mask_is_kept(void) {
    sigset_t mask, after;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 7);
    rg_free(group);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 65; signal++)
        CHECK_INT(sigismember(&after, signal), signal == SIGUSR2);
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void code_and_message(void) {
    const struct {
        int number;
        const char *name;
    } signals[] = {{SIGINT, "SIGINT"},   {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"},
                   {SIGQUIT, "SIGQUIT"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"},
                   {SIGALRM, "SIGALRM"}};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction before = disposition(signals[i].number);
        rg_group *group = listening(&signals[i].number, 1);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        CHECK_INT(rg_start(group), 0);
        CHECK_INT(kill(getpid(), signals[i].number), 0);
        CHECK_INT(finished(group), 128 + signals[i].number);
        const rg_cause *cause = rg_get_cause(group);
        CHECK_STR(cause->message, signals[i].name);
        CHECK_STR(cause->actor, "signals");
        CHECK_INT(cause->index, 0);
        CHECK(same_disposition(disposition(signals[i].number), before));
        rg_free(group);
    }
    int last = LAST_SIGNAL;
    rg_group *group = listening(&last, 1);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(kill(getpid(), last), 0);
    CHECK_INT(finished(group), 128 + last);
    CHECK(rg_get_cause(group)->message[0] != 0);
    rg_free(group);
}

/* ---- several groups -----------------------------------------------------------------
 */

static void all_groups_stop(void) {
    enum { GROUPS = 5 };
    rg_group *groups[GROUPS];
    struct sigaction before = disposition(SIGTERM);
    for (int i = 0; i < GROUPS; i++) {
        groups[i] = listening(NULL, 0);
        CHECK_INT(rg_start(groups[i]), 0);
    }
    /* One that ends meanwhile takes nothing from the others. */
    CHECK_INT(rg_stop(groups[2], 3), 0);
    CHECK_INT(finished(groups[2]), 3);
    rg_free(groups[2]);
    CHECK_INT(kill(getpid(), SIGTERM), 0);
    for (int i = 0; i < GROUPS; i++) {
        if (i == 2)
            continue;
        CHECK_INT(finished(groups[i]), 128 + SIGTERM);
        rg_free(groups[i]);
    }
    CHECK(same_disposition(disposition(SIGTERM), before));
}

/* A group that begins while another's delivery is under way is told of its own. */
static void one_after_another(void) {
    handle(SIGUSR1, count_signal); /* for those that come between */
    int signal = SIGUSR1;
    for (int i = 0; i < 300; i++) {
        rg_group *first = listening(&signal, 1);
        CHECK_INT(rg_start(first), 0);
        raise(SIGUSR1);
        rg_group *second = listening(&signal, 1);
        CHECK_INT(rg_start(second), 0);
        raise(SIGUSR1);
        CHECK_INT(finished(second), 128 + SIGUSR1);
        CHECK_INT(finished(first), 128 + SIGUSR1);
        rg_free(first);
        rg_free(second);
    }
    CHECK_INT(handled, 0);
    raise(SIGUSR1);
    CHECK_INT(handled, 1);
}

static void sequence(void) { check_in_child(one_after_another); }

/* ---- ignored, and forked --------------------------------------------------------------
 */

static void ignored_stays(void) {
    signal(SIGTERM, SIG_IGN);
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    CHECK(disposition(SIGTERM).sa_handler == SIG_IGN);
    raise(SIGTERM);
    CHECK_INT(rg_stopping(group), 0);
    raise(SIGINT);
    CHECK_INT(finished(group), 128 + SIGINT);
    CHECK(disposition(SIGTERM).sa_handler == SIG_IGN);
    rg_free(group);
}

static void all_ignored(void) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    raise(SIGTERM);
    raise(SIGINT);
    CHECK_INT(rg_stopping(group), 0);
    CHECK_INT(rg_stop(group, 3), 0);
    CHECK_INT(finished(group), 3);
    rg_free(group);
}

static void inherited_ignore(void) {
    check_in_child(ignored_stays);
    check_in_child(all_ignored);
}

static void forked_child(void) {
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    struct pollfd stop = {rg_stop_fd(group), POLLIN, 0};
    pid_t child = fork();
    if (child == 0) {
        /* The handler is the parent's; here it does what was there before. */
        kill(getpid(), SIGTERM);
        _exit(1);
    }
    int status;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    CHECK_INT(WTERMSIG(status), SIGTERM);
    CHECK_INT(rg_stopping(group), 0);
    CHECK_INT(poll(&stop, 1, 0), 0);
    CHECK_INT(kill(getpid(), SIGTERM), 0);
    CHECK_INT(finished(group), 128 + SIGTERM);
    rg_free(group);
}

/* A forked child may have a group of its own. */
static void group_in_child(void) {
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    raise(SIGTERM);
    CHECK_INT(finished(group), 128 + SIGTERM);
    rg_free(group);
    CHECK(disposition(SIGTERM).sa_handler == SIG_DFL);
}

static void forked_child_with_group(void) {
    group_in_child();
    check_in_child(group_in_child);
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    check_in_child(group_in_child);
    CHECK_INT(rg_stopping(group), 0);
    raise(SIGINT);
    CHECK_INT(finished(group), 128 + SIGINT);
    rg_free(group);
}

/* ---- other handlers
 * --------------------------------------------------------------------- */

static struct sigaction below;

static void chaining(int signal, siginfo_t *info, void *context) {
    handled = handled + 1;
    if (below.sa_flags & SA_SIGINFO)
        below.sa_sigaction(signal, info, context);
    else if (below.sa_handler != SIG_DFL && below.sa_handler != SIG_IGN)
        below.sa_handler(signal);
}

static volatile sig_atomic_t bottom_handled;
static void bottom(int signal) { bottom_handled = bottom_handled + (signal > 0); }

static void host_handler_over_ours(void) {
    handle(SIGINT, bottom);
    rg_group *group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = chaining;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    CHECK_INT(sigaction(SIGINT, &action, &below), 0);
    raise(SIGINT); /* theirs, then ours */
    CHECK_INT(finished(group), 128 + SIGINT);
    rg_free(group);
    CHECK_INT(handled, 1);
    CHECK_INT(bottom_handled, 0);
    CHECK(disposition(SIGINT).sa_sigaction == chaining); /* left in place */
    raise(SIGINT);                                       /* passes through ours */
    CHECK_INT(handled, 2);
    CHECK_INT(bottom_handled, 1);

    /* A later group listens through the same chain. */
    group = listening(NULL, 0);
    CHECK_INT(rg_start(group), 0);
    raise(SIGINT);
    CHECK_INT(finished(group), 128 + SIGINT);
    rg_free(group);
    raise(SIGINT);
    CHECK(disposition(SIGINT).sa_sigaction == chaining);
}

static void host_handler(void) { check_in_child(host_handler_over_ours); }

static void chained(void) {
    handle(SIGINT, bottom);
    for (int on = 0; on < 2; on++) {
        bottom_handled = 0;
        rg_group *group = rg_new();
        CHECK_INT(rg_set_chain_signals(group, on), 0);
        CHECK_INT(rg_add_signals(group, NULL, 0), 0);
        CHECK_INT(rg_start(group), 0);
        raise(SIGINT);
        CHECK_INT(bottom_handled, on);
        CHECK_INT(finished(group), 128 + SIGINT);
        rg_free(group);
    }
}

/* A default that kills is not chained to. */
static void chained_default(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_set_chain_signals(group, 1), 0);
    CHECK_INT(rg_add_signals(group, NULL, 0), 0);
    CHECK_INT(rg_start(group), 0);
    raise(SIGINT);
    CHECK_INT(finished(group), 128 + SIGINT);
    rg_free(group);
}

static void chain_signals(void) {
    check_in_child(chained);
    check_in_child(chained_default);
}

/* ---- errno
 * --------------------------------------------------------------------------------- */

static int storm_is_over;

static void *storm(void *target) {
    for (int i = 0; i < 20000; i++)
        pthread_kill(*(pthread_t *)target, SIGUSR1);
    __sync_fetch_and_add(&storm_is_over, 1);
    return NULL;
}

static void disturb_errno(int signal) {
    errno = ENOTTY; /* a rude handler below */
    (void)signal;
}

/* Both ways through the handler: to a group, and on to the one before. */
static void errno_under_storm(void) {
    handle(SIGUSR1, disturb_errno);
    int signal = SIGUSR1;
    pthread_t self = pthread_self(), thread;
    rg_group *group = rg_new();
    CHECK_INT(rg_set_chain_signals(group, 1), 0);
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    CHECK_INT(rg_start(group), 0);
    struct sigaction ours = disposition(SIGUSR1);
    struct sigaction theirs;
    memset(&theirs, 0, sizeof theirs);
    theirs.sa_sigaction = chaining; /* over ours: ours stays in the chain */
    theirs.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&theirs.sa_mask);
    CHECK_INT(sigaction(SIGUSR1, &theirs, NULL), 0);
    below = ours;
    CHECK_INT(pthread_create(&thread, NULL, storm, &self), 0);
    while (!__sync_fetch_and_add(&storm_is_over, 0)) {
        errno = EDOM;
        for (volatile int i = 0; i < 100; i++) {
        }
        CHECK_INT(errno, EDOM);
    }
    pthread_join(thread, NULL);
    CHECK(handled > 0);
    CHECK_INT(finished(group), 128 + SIGUSR1);
    rg_free(group);
}

static void errno_at_delivery(void) {
    handle(SIGUSR1, disturb_errno);
    int signal = SIGUSR1;
    for (int i = 0; i < 200; i++) {
        rg_group *group = rg_new();
        CHECK_INT(rg_set_chain_signals(group, i % 2), 0);
        CHECK_INT(rg_add_signals(group, &signal, 1), 0);
        CHECK_INT(rg_start(group), 0);
        errno = EDOM;
        raise(SIGUSR1);
        CHECK_INT(errno, EDOM);
        CHECK_INT(finished(group), 128 + SIGUSR1);
        rg_free(group);
    }
}

static void keeps_errno(void) {
    check_in_child(errno_under_storm);
    check_in_child(errno_at_delivery);
}

int main(void) {
    watchdog(120);
    int before = descriptors();
    CASE(own_handler);
    CASE(mask_is_kept);
    CASE(code_and_message);
    CASE(all_groups_stop);
    CASE(sequence);
    CASE(inherited_ignore);
    CASE(forked_child);
    CASE(forked_child_with_group);
    CASE(host_handler);
    CASE(chain_signals);
    CASE(keeps_errno);
    CHECK_INT(descriptors(), before);
    await_threads(1);
    return finish("signals");
}
