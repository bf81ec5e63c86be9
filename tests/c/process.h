/* What a run must leave of the process as it was: dispositions and masks; and the
 * three ways to run a group. */
#ifndef PROCESS_H
#define PROCESS_H

#include "check.h"

#include <poll.h>

#define MILLISECOND ((int64_t)1000000)
/* A SIGINT or SIGQUIT this long after the one before goes to the disposition that
 * was there before the run (rule 16). */
#define AGAIN_NS (250 * MILLISECOND)

/* ---- dispositions and the mask ---------------------------------------------------- */

enum { SIGNALS = 65 };
#ifndef SIGRTMIN /* macOS, which has none from 32 on */
#define SIGRTMIN SIGNALS
#endif

typedef struct process {
    struct sigaction dispositions[SIGNALS];
    sigset_t mask;
} process;

/* The C library adds this flag to whatever it sets, and shows it to whoever asks. */
#define RESTORER 0x04000000

static inline struct sigaction disposition(int signal) {
    struct sigaction action;
    CHECK_INT(sigaction(signal, NULL, &action), 0);
    return action;
}

static inline int same_mask(const sigset_t *a, const sigset_t *b) {
    int same = 1;
    for (int signal = 1; signal < SIGNALS; signal++)
        same = same && sigismember(a, signal) == sigismember(b, signal);
    return same;
}

static inline int same_disposition(struct sigaction a, struct sigaction b) {
    return a.sa_handler == b.sa_handler &&
           (a.sa_flags | RESTORER) == (b.sa_flags | RESTORER) &&
           same_mask(&a.sa_mask, &b.sa_mask);
}

static inline process process_now(void) {
    process now;
    memset(&now, 0, sizeof now);
    for (int signal = 1; signal < SIGNALS; signal++)
        if (signal < 32 || signal >= SIGRTMIN) /* between are the C library's own */
            now.dispositions[signal] = disposition(signal);
    pthread_sigmask(SIG_SETMASK, NULL, &now.mask);
    return now;
}

static inline void check_as_before(const process *before) {
    process now = process_now();
    for (int signal = 1; signal < SIGNALS; signal++)
        if (!same_disposition(now.dispositions[signal], before->dispositions[signal])) {
            fprintf(stderr, "the disposition of signal %d is not as before\n", signal);
            CHECK(!"dispositions are as before");
        }
    CHECK(same_mask(&now.mask, &before->mask));
}

/* With a mask and a flag of its own, so that a comparison sees what is lost. */
static inline void handle_by(int signal, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGWINCH);
    action.sa_flags = SA_RESTART;
    CHECK_INT(sigaction(signal, &action, NULL), 0);
}

static inline sigset_t block(int signal) {
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    CHECK_INT(pthread_sigmask(SIG_BLOCK, &mask, &before), 0);
    return before;
}

static inline int is_pending(int signal) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal);
}

/* Busy, since nothing else tells that time has passed. */
static inline void await_time(int64_t until_ns) {
    while (now_ns() < until_ns)
        sched_yield();
}

/* ---- ways to run ------------------------------------------------------------------ */

enum { BY_RUN, BY_START, DRIVEN, WAYS };

/* The host's part: its actors return when they are interrupted. */
static inline int drive(rg_group *group) {
    CHECK_INT(rg_drive_begin(group), 0);
    struct pollfd wake = {rg_drive_fd(group), POLLIN, 0};
    for (;;) {
        int64_t value = 0;
        int step = rg_drive_next(group, &value);
        if (step == RG_STEP_FINISH)
            return (int)value;
        if (step == RG_STEP_INTERRUPT) {
            rg_drive_interrupted(group, (size_t)value, NULL);
            CHECK(rg_drive_return(group, (size_t)value, 0, NULL) >= 0);
        } else {
            CHECK_INT(step, RG_STEP_WAIT);
            poll(&wake, 1, value < 0 ? -1 : (int)(value / MILLISECOND) + 1);
        }
    }
}

static inline int finished(rg_group *group) {
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    return code;
}

/* For DRIVEN the group has an actor of the host's, or none. */
static inline int run_in(int way, rg_group *group) {
    if (way == DRIVEN)
        return drive(group);
    if (way == BY_RUN)
        return rg_run(group);
    CHECK_INT(rg_start(group), 0);
    return finished(group);
}

/* ---- the signal actor ------------------------------------------------------------ */

static inline const char *signal_name(int signal) {
    return signal == SIGINT    ? "SIGINT"
           : signal == SIGTERM ? "SIGTERM"
           : signal == SIGHUP  ? "SIGHUP"
           : signal == SIGQUIT ? "SIGQUIT"
           : signal == SIGUSR1 ? "SIGUSR1"
                               : "";
}

/* The signal is in the report, whether it ended the group or came later. */
static inline void check_noted(const rg_group *group, size_t index, int signal) {
    rg_actor_report report = report_of(group, index);
    CHECK_STR(report.name, "signals");
    CHECK_INT(report.state, RG_STATE_RETURNED);
    CHECK_INT(report.code, 128 + signal);
    CHECK_STR(report.message, signal_name(signal));
    CHECK_INT(report.stuck, 0);
}

/* ---- what ends.c and exits.c need -------------------------------------------------- */

static inline void check_status_0(void (*function)(void)) {
    int status = in_child(function);
    if (status != 0)
        fprintf(stderr, "wait status 0x%x\n", (unsigned)status);
    CHECK_INT(status, 0);
}

static inline void add_released(rg_group *group, const char *name, rg_execute_fn execute,
                                rg_interrupt_fn interrupt, void *userdata,
                                rg_release_fn release) {
    rg_actor actor = actor_of(name, execute, interrupt, userdata);
    actor.release = release;
    CHECK_INT(rg_add_actor(group, &actor), 0);
}

/* Valid until the next call. */
static inline const char *text_of(rg_group *group) {
    static char text[1 << 14];
    CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) < sizeof text);
    return text;
}

#endif
