/* Runs the table of cases over the C interface.
 *
 *     conformance path/to/cases.txt [--start | --drive]
 *
 * --start: rg_start, rg_done_fd and rg_wait instead of rg_run.
 * --drive: this program is the scheduler and calls the rg_drive_ functions.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE
#endif

#include "rungroup.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORDS = 32, MAX_ACTORS = 8, MAX_GATES = 32, MAX_SIGNALS = 65 };
enum { WATCHDOG_SECONDS = 60 };

typedef struct {
    char *words[MAX_WORDS];
    int count;
} list;

struct group;

typedef struct actor {
    struct group *group;
    char *label; /* the table's; the library is told `name` */
    char *name;
    int async, signals, without_execute, without_interrupt, refused;
    size_t stack;
    list on, execute, start, interrupt;
    int accepted;
    size_t index;
    rg_completion *done;
    pthread_t thread, caller;
    /* What happened, under the lock. */
    int executes, interrupts, releases, executing, interrupting, left, exited;
    int cause_code;
    int64_t cause_index;
    /* --drive: the threads this program runs it on. */
    pthread_t execute_thread, interrupt_thread;
    int has_execute_thread, has_interrupt_thread;
} actor;

typedef struct group {
    rg_group *handle;
    struct group *child;
    int order, has_grace, code;
    int64_t grace;
    actor actors[MAX_ACTORS];
    int count;
    list before, after, expects, outside;
    pthread_t runner;
    int ran;
    actor *interrupted[MAX_ACTORS * 2];
    int interrupted_count, interrupting, overlap;
} group;

typedef struct {
    char name[64], rule[16], proves[256];
    list needs;
    group parent, child;
} test_case;

/* How a script ended. */
typedef struct {
    int code, exits;
    const char *message;
} ending;

static enum { RUN, START, DRIVE } mode = RUN;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static const char *open_gates[MAX_GATES];
static int open_count;
static int complaints;
static char current_case[64];

static void die(const char *why, const char *what) {
    fprintf(stderr, "cases: %s: %s (case %s)\n", why, what, current_case);
    exit(2);
}

static void complain(const char *format, ...) {
    va_list arguments;
    pthread_mutex_lock(&lock);
    complaints++;
    printf("    ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static void watchdog(int signal_number) {
    static const char text[] = "HANG ";
    (void)signal_number;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
        write(STDOUT_FILENO, current_case, strlen(current_case)) < 0 ||
        write(STDOUT_FILENO, "\n", 1) < 0) {
        _exit(3);
    }
    _exit(2);
}

/* ---- gates ---- */

static int gate_is_open(const char *gate) {
    for (int i = 0; i < open_count; i++) {
        if (strcmp(open_gates[i], gate) == 0) {
            return 1;
        }
    }
    return 0;
}

static void gate_open(const char *gate) {
    pthread_mutex_lock(&lock);
    if (!gate_is_open(gate)) {
        if (open_count == MAX_GATES) {
            die("too many gates", gate);
        }
        open_gates[open_count++] = gate;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void gate_wait(const char *gate) {
    pthread_mutex_lock(&lock);
    while (!gate_is_open(gate)) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

/* A case's own signal does not end the wait. */
static int poll_through(struct pollfd *fd) {
    int ready;
    do {
        ready = poll(fd, 1, -1);
    } while (ready < 0 && errno == EINTR);
    return ready;
}

static int looked_at(const int *flag) {
    pthread_mutex_lock(&lock);
    int value = *flag;
    pthread_mutex_unlock(&lock);
    return value;
}

/* ---- words ---- */

static int number(const char *word) {
    static const struct {
        const char *name;
        int code;
    } names[] = {{"RG_EINVAL", RG_EINVAL},       {"RG_ESTATE", RG_ESTATE},
                 {"RG_ENOMEM", RG_ENOMEM},       {"RG_ESPAWN", RG_ESPAWN},
                 {"RG_ETIMEDOUT", RG_ETIMEDOUT}, {"RG_EPANIC", RG_EPANIC}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, word) == 0) {
            return names[i].code;
        }
    }
    char *end = NULL;
    long value = strtol(word, &end, 10);
    if (end == word || *end != '\0' || value < INT_MIN || value > INT_MAX) {
        die("not a number", word);
    }
    return (int)value;
}

static int signal_number(const char *name) {
    if (strcmp(name, "SIGINT") == 0) {
        return SIGINT;
    }
    if (strcmp(name, "SIGTERM") == 0) {
        return SIGTERM;
    }
    die("unknown signal", name);
    return 0;
}

/* Cuts the first word off; gives what follows it, "" at the end. */
static char *cut(char *text) {
    char *space = strchr(text, ' ');
    if (space == NULL) {
        return text + strlen(text);
    }
    *space = '\0';
    return space + 1;
}

static void append(list *words, char *word) {
    if (words->count == MAX_WORDS) {
        die("line too long", word);
    }
    words->words[words->count++] = word;
}

/* Splits at a separator, dropping the spaces around each part. */
static void split(list *words, char *text, char separator) {
    while (text != NULL && *text != '\0') {
        char *next = strchr(text, separator);
        if (next != NULL) {
            *next++ = '\0';
        }
        text += strspn(text, " ");
        size_t length = strlen(text);
        while (length > 0 && text[length - 1] == ' ') {
            text[--length] = '\0';
        }
        if (length > 0) {
            append(words, text);
        }
        text = next;
    }
}

static actor *find(group *in, const char *label) {
    for (int i = 0; i < in->count; i++) {
        if (strcmp(in->actors[i].label, label) == 0) {
            return &in->actors[i];
        }
    }
    die("no such actor", label);
    return NULL;
}

/* ---- actions ---- */

static int run_group(group *group);

static int complete(actor *which, int code, const char *message) {
    pthread_mutex_lock(&lock);
    which->left = 1;
    rg_completion *done = which->done;
    pthread_mutex_unlock(&lock);
    if (mode == DRIVE) {
        int bits = rg_drive_return(which->group->handle, which->index, code, message);
        return bits < 0 ? bits : 0;
    }
    return rg_complete(done, code, message);
}

static int never_called(void *userdata) {
    (void)userdata;
    complain("a refused actor was run");
    return 0;
}

static void check(group *in, char *what) {
    char *which = cut(what);
    int good;
    struct pollfd fd = {rg_stop_fd(in->handle), POLLIN, 0};
    if (strcmp(what, "stopping") == 0) {
        good = rg_stopping(in->handle) == 1 && rg_wait_stop(in->handle, 0) == 1;
    } else if (strcmp(what, "not-stopping") == 0) {
        good = rg_stopping(in->handle) == 0 && rg_wait_stop(in->handle, 0) == 0;
    } else if (strcmp(what, "fd") == 0) {
        good = poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN);
    } else if (strcmp(what, "not-fd") == 0) {
        good = fd.fd >= 0 && poll(&fd, 1, 0) == 0;
    } else if (strcmp(what, "left") == 0) {
        good = looked_at(&find(in, which)->left);
    } else if (strcmp(what, "not-left") == 0) {
        good = !looked_at(&find(in, which)->left);
    } else {
        pthread_mutex_lock(&lock);
        int is_open = gate_is_open(which);
        pthread_mutex_unlock(&lock);
        if (strcmp(what, "open") == 0) {
            good = is_open;
        } else if (strcmp(what, "closed") == 0) {
            good = !is_open;
        } else {
            die("unknown check", what);
            return;
        }
    }
    if (!good) {
        complain("check %s %s failed", what, which);
    }
}

static void try_misuse(group *in, char *what) {
    char *rest = cut(what);
    rg_group *handle = in->handle;
    int got = 0, code;
    if (strcmp(what, "free") == 0) {
        rg_free(handle); /* refused; the case goes on as if nothing happened */
        return;
    }
    if (strcmp(what, "add") == 0) {
        got = rg_add(handle, never_called, rg_interrupt_none, NULL);
    } else if (strcmp(what, "run") == 0) {
        got = rg_run(handle);
    } else if (strcmp(what, "wait") == 0) {
        got = rg_wait(handle, -1, &code);
    } else if (strcmp(what, "grace") == 0) {
        got = rg_set_grace(handle, 1);
    } else if (strcmp(what, "order") == 0) {
        got = rg_set_order(handle, RG_ORDER_REVERSE);
    } else if (strcmp(what, "bad-order") == 0) {
        got = rg_set_order(handle, 99);
    } else if (strcmp(what, "complete") == 0) {
        char *label = rest;
        rest = cut(label);
        got = complete(find(in, label), 99, NULL);
    } else {
        die("unknown try", what);
    }
    if (got != number(rest)) {
        complain("try %s gave %d instead of %s", what, got, rest);
    }
}

static ending play(group *in, const list *script) {
    ending end = {0, 0, NULL};
    for (int i = 0; i < script->count; i++) {
        char verb[256];
        snprintf(verb, sizeof verb, "%s", script->words[i]);
        char *rest = cut(verb);
        /* Gates and messages outlive this frame: point into the table. */
        char *kept = script->words[i] + (rest - verb);
        if (strcmp(verb, "open") == 0) {
            gate_open(kept);
        } else if (strcmp(verb, "wait") == 0) {
            gate_wait(kept);
        } else if (strcmp(verb, "wait-stop") == 0) {
            if (rg_wait_stop(in->handle, -1) != 1) {
                complain("rg_wait_stop failed");
            }
        } else if (strcmp(verb, "wait-fd") == 0) {
            struct pollfd fd = {rg_stop_fd(in->handle), POLLIN, 0};
            if (poll_through(&fd) != 1) {
                complain("poll of the stop descriptor failed");
            }
        } else if (strcmp(verb, "return") == 0) {
            end.code = number(rest);
            return end;
        } else if (strcmp(verb, "fail") == 0) {
            char *text = cut(rest);
            end.code = number(rest);
            end.message = kept + (text - rest);
            if (mode != DRIVE && rg_fail(end.code, text) != end.code) {
                complain("rg_fail did not return its code");
            }
            return end;
        } else if (strcmp(verb, "exit-thread") == 0) {
            end.exits = 1;
            return end;
        } else if (strcmp(verb, "stop") == 0) {
            if (rg_stop(in->handle, number(rest)) != 0) {
                complain("rg_stop failed");
            }
        } else if (strcmp(verb, "check") == 0) {
            check(in, rest);
        } else if (strcmp(verb, "try") == 0) {
            try_misuse(in, rest);
        } else if (strcmp(verb, "complete") == 0) {
            char *code = cut(rest), *text = cut(code);
            int error = complete(find(in, rest), number(code), *text ? text : NULL);
            if (error != 0) {
                complain("completing %s gave %d", rest, error);
            }
        } else if (strcmp(verb, "run-child") == 0) {
            end.code = run_group(in->child);
            return end;
        } else if (strcmp(verb, "stop-child") == 0) {
            rg_stop(in->child->handle, number(rest));
        } else if (strcmp(verb, "raise") == 0) {
            kill(getpid(), signal_number(rest));
        } else {
            die("unknown action", verb);
        }
    }
    return end;
}

/* ---- an actor's functions ---- */

static void enter_execute(actor *self) {
    pthread_mutex_lock(&lock);
    self->executes++;
    self->executing++;
    self->thread = pthread_self();
    pthread_mutex_unlock(&lock);
}

static void leave_execute(actor *self) {
    pthread_mutex_lock(&lock);
    self->executing--;
    self->left = 1;
    pthread_mutex_unlock(&lock);
}

static int execute(void *userdata) {
    actor *self = userdata;
    enter_execute(self);
    ending end = play(self->group, &self->execute);
    leave_execute(self);
    if (end.exits) {
        pthread_exit(NULL);
    }
    return end.code;
}

static void start(rg_completion *done, void *userdata) {
    actor *self = userdata;
    pthread_mutex_lock(&lock);
    self->executes++;
    self->done = done;
    int here = pthread_equal(self->group->runner, pthread_self());
    pthread_mutex_unlock(&lock);
    if (!here && !self->group->has_grace) {
        complain("%s was not started on the running thread", self->label);
    }
    play(self->group, &self->start);
}

static ending interrupt_with(const rg_cause *cause, actor *self) {
    group *in = self->group;
    pthread_mutex_lock(&lock);
    self->interrupts++;
    self->interrupting++;
    self->cause_code = cause->code;
    self->cause_index = cause->index;
    if (in->interrupting++ > 0) {
        in->overlap = 1;
    }
    if (in->interrupted_count < MAX_ACTORS * 2) {
        in->interrupted[in->interrupted_count++] = self;
    }
    pthread_mutex_unlock(&lock);
    const rg_cause *known = rg_get_cause(in->handle);
    if (known == NULL || known->code != cause->code || known->index != cause->index ||
        cause->message == NULL || strcmp(known->message, cause->message) != 0) {
        complain("%s was interrupted with another cause", self->label);
    }
    ending end = play(in, &self->interrupt);
    pthread_mutex_lock(&lock);
    in->interrupting--;
    self->interrupting--;
    pthread_mutex_unlock(&lock);
    return end;
}

static void interrupt(const rg_cause *cause, void *userdata) {
    if (interrupt_with(cause, userdata).exits) {
        pthread_exit(NULL);
    }
}

static void release(void *userdata) {
    actor *self = userdata;
    pthread_mutex_lock(&lock);
    self->releases++;
    int busy = self->executing || self->interrupting;
    int owned = self->accepted;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (busy || !owned) {
        complain("%s was released although it %s", self->label,
                 owned ? "still ran" : "had been refused");
    }
}

/* ---- the host as scheduler ---- */

static void *driven_execute(void *userdata) {
    actor *self = userdata;
    enter_execute(self);
    ending end = play(self->group, &self->execute);
    leave_execute(self);
    if (rg_drive_return(self->group->handle, self->index, end.code, end.message) < 0) {
        complain("rg_drive_return of %s failed", self->label);
    }
    return NULL;
}

static void *driven_interrupt(void *userdata) {
    actor *self = userdata;
    rg_group *handle = self->group->handle;
    ending end = interrupt_with(rg_get_cause(handle), self);
    if (rg_drive_interrupted(handle, self->index, end.message) < 0) {
        complain("rg_drive_interrupted of %s failed", self->label);
    }
    return NULL;
}

static void spawn(pthread_t *thread, void *(*body)(void *), void *userdata) {
    if (pthread_create(thread, NULL, body, userdata) != 0) {
        die("no thread", "pthread_create");
    }
}

static int drive(group *in) {
    int64_t value = 0;
    int error = rg_drive_begin(in->handle);
    if (error != 0) {
        return error;
    }
    int step = rg_drive_next(in->handle, &value);
    for (int i = 0; i < in->count && step != RG_STEP_FINISH; i++) {
        actor *each = &in->actors[i];
        if (each->accepted && !each->signals && !each->async) {
            each->has_execute_thread = 1;
            spawn(&each->execute_thread, driven_execute, each);
        }
    }
    for (int i = 0; i < in->count && step != RG_STEP_FINISH; i++) {
        if (in->actors[i].accepted && in->actors[i].async) {
            start(NULL, &in->actors[i]);
        }
    }
    for (;; step = rg_drive_next(in->handle, &value)) {
        if (step == RG_STEP_INTERRUPT) {
            actor *which = NULL;
            for (int i = 0; i < in->count; i++) {
                if (in->actors[i].accepted && in->actors[i].index == (size_t)value) {
                    which = &in->actors[i];
                }
            }
            if (which == NULL) {
                die("rg_drive_next", "an actor that does not exist");
            } else if (in->has_grace) {
                which->has_interrupt_thread = 1;
                spawn(&which->interrupt_thread, driven_interrupt, which);
            } else {
                driven_interrupt(which);
            }
        } else if (step == RG_STEP_WAIT) {
            struct pollfd fd = {rg_drive_fd(in->handle), POLLIN, 0};
            poll(&fd, 1, value < 0 ? -1 : (int)(value / 1000000 + 1));
        } else if (step == RG_STEP_FINISH) {
            return (int)value;
        } else {
            complain("rg_drive_next gave %d", step);
            return step;
        }
    }
}

static void join_driven(group *in) {
    for (int i = 0; i < in->count; i++) {
        if (in->actors[i].has_execute_thread) {
            pthread_join(in->actors[i].execute_thread, NULL);
        }
        if (in->actors[i].has_interrupt_thread) {
            pthread_join(in->actors[i].interrupt_thread, NULL);
        }
    }
}

/* ---- a group, from new to free ---- */

static int add(group *in, actor *each) {
    if (each->signals) {
        int numbers[MAX_WORDS];
        for (int i = 0; i < each->on.count; i++) {
            numbers[i] = signal_number(each->on.words[i]);
        }
        return rg_add_signals(in->handle, numbers, (size_t)each->on.count);
    }
    if (mode == DRIVE) {
        return rg_drive_add(in->handle, each->name);
    }
    if (each->async) {
        return rg_add_async(in->handle, each->name, start, interrupt, each, release);
    }
    rg_actor given;
    memset(&given, 0, sizeof given);
    given.size = sizeof given;
    given.name = each->name;
    given.execute = each->without_execute ? NULL : execute;
    given.interrupt = each->without_interrupt ? NULL : interrupt;
    given.userdata = each;
    given.release = release;
    given.stack_size = each->stack;
    return rg_add_actor(in->handle, &given);
}

static void build(group *in) {
    in->handle = rg_new();
    if (in->handle == NULL) {
        die("no group", "rg_new");
    }
    if (rg_set_order(in->handle, in->order) != 0 ||
        (in->has_grace && rg_set_grace(in->handle, in->grace) != 0)) {
        complain("a setting was refused");
    }
    size_t index = 0;
    for (int i = 0; i < in->count; i++) {
        actor *each = &in->actors[i];
        each->group = in;
        each->index = index;
        each->accepted = !each->refused;
        int got = add(in, each);
        if (got != each->refused) {
            complain("adding %s gave %d", each->label, got);
            each->accepted = got == 0;
        }
        index += (size_t)each->accepted;
    }
    if (rg_actor_count(in->handle) != index) {
        complain("rg_actor_count is wrong");
    }
}

static int run_group(group *in) {
    sigset_t before, now;
    sigemptyset(&before);
    sigemptyset(&now);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    pthread_mutex_lock(&lock);
    in->runner = pthread_self();
    pthread_mutex_unlock(&lock);
    int code = 0;
    if (mode == RUN) {
        code = rg_run(in->handle);
    } else if (mode == DRIVE) {
        code = drive(in);
    } else if ((code = rg_start(in->handle)) == 0) {
        struct pollfd fd = {rg_done_fd(in->handle), POLLIN, 0};
        if (poll_through(&fd) != 1 || rg_wait(in->handle, 0, &code) != 1) {
            complain("rg_wait blocks although rg_done_fd is readable");
            rg_wait(in->handle, -1, &code);
        }
    }
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int number_ = 1; number_ < MAX_SIGNALS; number_++) {
        if (sigismember(&before, number_) != sigismember(&now, number_)) {
            complain("signal %d: the thread's mask changed", number_);
        }
    }
    in->code = code;
    in->ran = 1;
    return code;
}

/* ---- what is checked ---- */

static void check_cause(group *in, char *expected) {
    const rg_cause *cause = rg_get_cause(in->handle);
    char *code = cut(expected), *text = cut(code);
    if (strcmp(expected, "none") == 0) {
        if (cause != NULL) {
            complain("there is a cause: %d", cause->code);
        }
        return;
    }
    if (cause == NULL) {
        complain("there is no cause");
        return;
    }
    int outside = strcmp(expected, "outside") == 0;
    int64_t index = outside ? -1 : (int64_t)find(in, expected)->index;
    const char *name = outside ? "" : find(in, expected)->name;
    if (cause->index != index || cause->code != number(code) ||
        (cause->actor == NULL) != outside ||
        strcmp(outside ? "" : cause->actor, name) != 0 ||
        strstr(cause->message, text) == NULL) {
        complain("the cause is %s (%ld) %d '%s'", cause->actor ? cause->actor : "outside",
                 (long)cause->index, cause->code, cause->message);
    }
}

static void check_interrupted(group *in, char *labels) {
    list expected;
    memset(&expected, 0, sizeof expected);
    split(&expected, labels, ' ');
    pthread_mutex_lock(&lock);
    int count = in->interrupted_count;
    int same = count == expected.count;
    for (int i = 0; same && i < count; i++) {
        same = strcmp(in->interrupted[i]->label, expected.words[i]) == 0;
    }
    pthread_mutex_unlock(&lock);
    if (!same) {
        complain("the interrupts came otherwise:");
        for (int i = 0; i < count; i++) {
            complain("  %s", in->interrupted[i]->label);
        }
    }
}

static int report_of(actor *which, rg_actor_report *report) {
    memset(report, 0, sizeof *report);
    report->size = sizeof *report;
    if (rg_get_report(which->group->handle, which->index, report) != 0) {
        complain("there is no report of %s", which->label);
        return 0;
    }
    return 1;
}

static void check_group(group *in) {
    int nothing = 0, overlap = 0, stuck[MAX_ACTORS] = {0};
    rg_actor_report report;
    for (int i = 0; i < in->expects.count; i++) {
        char line[256];
        snprintf(line, sizeof line, "%s", in->expects.words[i]);
        char *rest = cut(line);
        if (strcmp(line, "code") == 0) {
            if (in->code != number(rest)) {
                complain("run returned %d", in->code);
            }
        } else if (strcmp(line, "cause") == 0) {
            check_cause(in, rest);
        } else if (strcmp(line, "interrupted") == 0) {
            check_interrupted(in, rest);
        } else if (strcmp(line, "result") == 0) {
            char *code = cut(rest), *text = cut(code);
            if (report_of(find(in, rest), &report) &&
                (report.code != number(code) || strstr(report.message, text) == NULL)) {
                complain("%s returned %d '%s'", rest, report.code, report.message);
            }
        } else if (strcmp(line, "complaint") == 0) {
            char *text = cut(rest);
            if (report_of(find(in, rest), &report) &&
                (*report.complaint == '\0' || strstr(report.complaint, text) == NULL)) {
                complain("%s's interrupt said '%s'", rest, report.complaint);
            }
        } else if (strcmp(line, "stuck") == 0) {
            char *what = cut(rest);
            stuck[find(in, rest) - in->actors] =
                strcmp(what, "execute") == 0     ? RG_STUCK_EXECUTE
                : strcmp(what, "interrupt") == 0 ? RG_STUCK_INTERRUPT
                                                 : RG_STUCK_EXECUTE | RG_STUCK_INTERRUPT;
        } else if (strcmp(line, "overlap") == 0) {
            overlap = 1;
        } else if (strcmp(line, "nothing") == 0) {
            nothing = 1;
        } else {
            die("unknown expect", line);
        }
    }
    if (looked_at(&in->overlap) != overlap) {
        complain(overlap ? "no interrupt had to overlap" : "interrupts overlapped");
    }
    for (int i = 0; i < in->count; i++) {
        actor *each = &in->actors[i];
        if (!each->accepted || !report_of(each, &report)) {
            continue;
        }
        int state = nothing                       ? RG_STATE_ADDED
                    : stuck[i] & RG_STUCK_EXECUTE ? RG_STATE_RUNNING
                    : report.code == RG_EPANIC    ? RG_STATE_PANICKED
                                                  : RG_STATE_RETURNED;
        if (strcmp(report.name, each->name) != 0 || report.stuck != stuck[i] ||
            report.state != state) {
            complain("the report of %s: name %s, stuck %d, state %d", each->label,
                     report.name, report.stuck, report.state);
        }
        const rg_cause *cause = rg_get_cause(in->handle);
        if (each->interrupts && cause != NULL &&
            (each->cause_code != cause->code || each->cause_index != cause->index)) {
            complain("%s was interrupted with another cause", each->label);
        }
        for (int j = 0; j < i && !nothing; j++) {
            actor *other = &in->actors[j];
            if (mode == RUN && other->accepted && !other->async && !each->async &&
                !other->signals && !each->signals &&
                pthread_equal(each->thread, other->thread)) {
                complain("%s and %s had one thread", each->label, other->label);
            }
        }
    }
}

/* Once all stuck ones have been let go. */
static void check_counts(group *in) {
    int started = 1;
    for (int i = 0; i < in->expects.count; i++) {
        started = started && strcmp(in->expects.words[i], "nothing") != 0;
    }
    for (int i = 0; i < in->count; i++) {
        actor *each = &in->actors[i];
        int times = each->accepted && started;
        if (each->signals) {
            continue;
        }
        if (each->executes != times || each->interrupts != times) {
            complain("%s: execute was called %d times, interrupt %d times", each->label,
                     each->executes, each->interrupts);
        }
        if (each->releases != (each->accepted && mode != DRIVE)) {
            complain("%s was released %d times", each->label, each->releases);
        }
    }
}

static void wait_for_releases(group *in) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < in->count; i++) {
        actor *each = &in->actors[i];
        while (each->accepted && !each->signals && each->releases == 0) {
            pthread_cond_wait(&changed, &lock); /* the watchdog ends it */
        }
    }
    pthread_mutex_unlock(&lock);
}

static void free_group(group *in) {
    rg_free(in->handle);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < in->count; i++) {
        actor *each = &in->actors[i];
        if (each->releases && (each->executing || each->interrupting)) {
            complaints++;
            printf("    %s was released while stuck\n", each->label);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* Rule 15. */
typedef struct {
    char directory[PATH_MAX], locale[256];
    struct sigaction actions[MAX_SIGNALS];
} process_state;

static void take_state(process_state *state) {
    memset(state, 0, sizeof *state);
    if (getcwd(state->directory, sizeof state->directory) == NULL) {
        die("no working directory", "getcwd");
    }
    snprintf(state->locale, sizeof state->locale, "%s", setlocale(LC_ALL, NULL));
    for (int i = 1; i < MAX_SIGNALS; i++) {
        sigaction(i, NULL, &state->actions[i]);
    }
}

static void check_state(const process_state *before) {
    static process_state now;
    /* Not the C library's own bits, which appear once a program sets anything. */
    const int flags = SA_RESTART | SA_ONSTACK | SA_SIGINFO | SA_NODEFER |
                      (int)SA_RESETHAND | SA_NOCLDSTOP | SA_NOCLDWAIT;
    take_state(&now);
    if (strcmp(before->directory, now.directory) != 0 ||
        strcmp(before->locale, now.locale) != 0) {
        complain("the working directory or the locale changed");
    }
    for (int i = 1; i < MAX_SIGNALS; i++) {
        const struct sigaction *was = &before->actions[i], *is = &now.actions[i];
        if (was->sa_handler != is->sa_handler ||
            ((was->sa_flags ^ is->sa_flags) & flags) != 0) {
            complain("signal %d: the disposition changed", i);
        }
    }
}

/* ---- a case ---- */

typedef struct {
    group *group;
    list script;
    int waits_for_the_end;
    pthread_t thread;
} outsider;

static void *act_outside(void *userdata) {
    outsider *self = userdata;
    play(self->group, &self->script);
    return NULL;
}

/* Those that use the group are done before it is freed. */
static void join_outsiders(outsider *outsiders, int count, int at_the_end) {
    for (int i = 0; i < count; i++) {
        if (outsiders[i].waits_for_the_end == at_the_end) {
            pthread_join(outsiders[i].thread, NULL);
        }
    }
}

static void run_case(test_case *test) {
    static process_state before;
    group *parent = &test->parent;
    group *child = parent->child;
    outsider outsiders[MAX_WORDS];
    memset(outsiders, 0, sizeof outsiders);
    open_count = 0;
    complaints = 0;
    take_state(&before);
    build(parent);
    if (child != NULL) {
        build(child);
    }
    play(parent, &parent->before);
    for (int i = 0; i < parent->outside.count; i++) {
        outsiders[i].group = parent;
        split(&outsiders[i].script, parent->outside.words[i], ';');
        for (int j = 0; j < outsiders[i].script.count; j++) {
            outsiders[i].waits_for_the_end |=
                strcmp(outsiders[i].script.words[j], "wait end") == 0;
        }
        spawn(&outsiders[i].thread, act_outside, &outsiders[i]);
    }
    run_group(parent);
    check_state(&before);
    play(parent, &parent->after);
    join_outsiders(outsiders, parent->outside.count, 0);
    check_group(parent);
    if (child != NULL) {
        check_group(child);
    }
    if (mode != DRIVE) {
        /* Rule 11: stuck actors outlive the handle. */
        free_group(parent);
        if (child != NULL) {
            free_group(child);
        }
    }
    gate_open("end");
    join_outsiders(outsiders, parent->outside.count, 1);
    if (mode == DRIVE) {
        join_driven(parent);
        if (child != NULL) {
            join_driven(child);
            rg_free(child->handle);
        }
        rg_free(parent->handle);
    } else {
        wait_for_releases(parent);
        if (child != NULL) {
            wait_for_releases(child);
        }
    }
    check_counts(parent);
    if (child != NULL) {
        check_counts(child);
    }
}

/* The feature that keeps this driver from running the case, or NULL. */
static const char *missing(const test_case *test) {
    static const char *const always[] = {"async",    "process", "misuse", "nested",
                                         "complain", "message", "codes",  NULL};
    static const char *const with_the_librarys_threads[] = {"threads", "stack", "handles",
                                                            "null", NULL};
    for (int i = 0; i < test->needs.count; i++) {
        const char *need = test->needs.words[i];
        int met = 0;
        /* Its stacks of 2^46 bytes are no numbers in 32 bits, and real memory to an
         * emulator. */
        if (strcmp(need, "stack") == 0 &&
            (sizeof(size_t) < 8 || getenv("RUNGROUP_EMULATED") != NULL)) {
            return need;
        }
        for (int j = 0; always[j] != NULL; j++) {
            met = met || strcmp(always[j], need) == 0;
        }
        for (int j = 0; with_the_librarys_threads[j] != NULL; j++) {
            int same = strcmp(with_the_librarys_threads[j], need) == 0;
            met = met || (same && mode != DRIVE);
            if (same && !met) {
                return need;
            }
        }
        if (!met && strcmp(need, "panic") != 0) {
            die("unknown feature", need);
        }
        if (!met) {
            return need;
        }
    }
    return NULL;
}

/* ---- the table ---- */

static void parse_actor_line(actor *to, char *key, char *rest) {
    if (strcmp(key, "execute") == 0) {
        to->execute.count = 0;
        split(&to->execute, rest, ';');
    } else if (strcmp(key, "start") == 0) {
        split(&to->start, rest, ';');
    } else if (strcmp(key, "interrupt") == 0) {
        split(&to->interrupt, rest, ';');
    } else if (strcmp(key, "stack") == 0) {
        to->stack = (size_t)strtoull(rest, NULL, 10);
    } else if (strcmp(key, "named") == 0) {
        to->name = rest;
    } else if (strcmp(key, "long-name") == 0) {
        static char letters[4][300];
        static int next;
        char *name = letters[next++ % 4];
        int length = number(rest);
        memset(name, 'n', (size_t)length);
        name[length] = '\0';
        to->name = name;
    } else if (strcmp(key, "refused") == 0) {
        to->refused = number(rest);
    } else if (strcmp(key, "without") == 0) {
        to->without_execute = strcmp(rest, "execute") == 0;
        to->without_interrupt = strcmp(rest, "interrupt") == 0;
    } else if (strcmp(key, "on") == 0) {
        to->signals = 1;
        split(&to->on, rest, ' ');
    } else {
        die("unknown line", key);
    }
}

static void parse_line(test_case *test, group **at, actor **who, char *line) {
    static char wait_stop[] = "wait-stop", return_0[] = "return 0";
    char *key = line, *rest = cut(line);
    group *to = *at;
    if (strcmp(key, "rule") == 0) {
        snprintf(test->rule, sizeof test->rule, "%s", rest);
    } else if (strcmp(key, "proves") == 0) {
        snprintf(test->proves, sizeof test->proves, "%s", rest);
    } else if (strcmp(key, "needs") == 0) {
        split(&test->needs, rest, ' ');
    } else if (strcmp(key, "grace") == 0) {
        to->has_grace = 1;
        to->grace = number(rest);
    } else if (strcmp(key, "order") == 0) {
        to->order = strcmp(rest, "reverse") == 0  ? RG_ORDER_REVERSE
                    : strcmp(rest, "staged") == 0 ? RG_ORDER_STAGED
                                                  : RG_ORDER_ADDED;
    } else if (strcmp(key, "before") == 0) {
        split(&to->before, rest, ';');
    } else if (strcmp(key, "after") == 0) {
        split(&to->after, rest, ';');
    } else if (strcmp(key, "outside") == 0) {
        append(&to->outside, rest);
    } else if (strcmp(key, "expect") == 0) {
        append(&to->expects, rest);
    } else if (strcmp(key, "group") == 0) {
        test->parent.child = &test->child;
        *at = &test->child;
    } else if (strcmp(key, "actor") == 0) {
        if (to->count == MAX_ACTORS) {
            die("too many actors", rest);
        }
        *who = &to->actors[to->count++];
        (*who)->async = strcmp(cut(rest), "async") == 0;
        (*who)->label = (*who)->name = rest;
        append(&(*who)->execute, wait_stop);
        append(&(*who)->execute, return_0);
    } else if (*who != NULL) {
        parse_actor_line(*who, key, rest);
    } else {
        die("unknown line", key);
    }
}

static char *read_all(const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        die("cannot open", path);
        return NULL;
    }
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    while (text != NULL) {
        length += fread(text + length, 1, room - length - 1, file);
        if (length < room - 1) {
            text[length] = '\0';
            break;
        }
        room *= 2;
        char *larger = realloc(text, room);
        if (larger == NULL) {
            free(text);
        }
        text = larger;
    }
    fclose(file);
    if (text == NULL) {
        die("no memory", path);
    }
    return text;
}

/* A handler that asks for an alternate stack where there is none runs on the
 * main thread's, which valgrind does not extend for it. */
static void extend_stack(void) {
    volatile char deep[64 << 10];
    deep[0] = 0;
    (void)deep[0];
}

int main(int argc, char **argv) {
    static test_case test; /* one at a time, reset for each */
    int passed = 0, failed = 0, skipped = 0;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: conformance cases.txt [--start | --drive]\n");
        return 2;
    }
    if (argc == 3) {
        mode = strcmp(argv[2], "--start") == 0 ? START : DRIVE;
        if (mode == DRIVE && strcmp(argv[2], "--drive") != 0) {
            die("unknown option", argv[2]);
        }
    }
    extend_stack();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = watchdog;
    sigaction(SIGALRM, &action, NULL);

    char *text = read_all(argv[1]);
    char *next = text;
    while (next != NULL) {
        group *at = &test.parent;
        actor *who = NULL;
        memset(&test, 0, sizeof test);
        while (next != NULL) {
            char *line = next + strspn(next, " ");
            if (test.name[0] != '\0' && strncmp(line, "case ", 5) == 0) {
                break;
            }
            next = strchr(line, '\n');
            if (next != NULL) {
                *next++ = '\0';
            }
            if (*line == '\0' || *line == '#') {
                continue;
            }
            if (strncmp(line, "case ", 5) == 0) {
                snprintf(test.name, sizeof test.name, "%s", line + 5);
                snprintf(current_case, sizeof current_case, "%s", line + 5);
            } else {
                parse_line(&test, &at, &who, line);
            }
        }
        if (test.name[0] == '\0') {
            break;
        }
        if (test.rule[0] == '\0' || test.proves[0] == '\0') {
            die("a case needs", "rule and proves");
        }
        const char *lacking = missing(&test);
        if (lacking != NULL) {
            printf("skip %s (needs %s)\n", test.name, lacking);
            skipped++;
            continue;
        }
        alarm(WATCHDOG_SECONDS);
        run_case(&test);
        alarm(0);
        printf("%s %s\n", complaints ? "FAIL" : "ok  ", test.name);
        if (complaints) {
            printf("    rule %s: %s\n", test.rule, test.proves);
        }
        fflush(stdout);
        *(complaints ? &failed : &passed) += 1;
    }
    free(text);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
