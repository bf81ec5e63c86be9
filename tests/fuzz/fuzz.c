/* Random calls of the C interface from several threads, with random arguments: a
 * well-formed sequence obeys the contract, an ill-formed call gets an error.
 *
 *     fuzz SEED ROUNDS     rounds from that seed on; 0 rounds: for ever
 *     fuzz SEED 0 SECONDS  for so long
 *
 * A round is its seed: one group, some actors of every kind, callers that do
 * what they please while one thread runs and waits, or drives actors of its own.
 * In some rounds a signal comes, in some actors are stuck when a short grace is
 * over, and go on later, when the group was given up. What fails says its seed;
 * tests/fuzz/corpus.txt keeps the seeds that ever found something. */
#include "../c/check.h"

#include <poll.h>
#include <sched.h>

#define ACTORS 6
#define CALLERS 3
#define CALLS 60

typedef struct round_state round_state;

typedef struct actor {
    round_state *round;
    unsigned random;
    int executed, interrupted, released, is_async;
    /* It goes on only when the round lets it: execute, or interrupt. */
    int holds, holds_interrupt;
    rg_completion *done;
} actor;

struct round_state {
    rg_group *group;
    actor actors[ACTORS];
    /* What the library knows of the actors, in order of addition; NULL: hosted. */
    actor *added[2 * ACTORS + 1];
    int count;
    int driven, stuck, signals, let_go;
    /* Actors that are none may be added; one was, so that the group does not run. */
    int refuses, refused;
};

static unsigned long seed_now;
static long calls;

#define AGREES(condition)                                                                \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "seed %lu: ", seed_now);                                     \
            check_true(0, #condition, __FILE__, __LINE__);                               \
        }                                                                                \
    } while (0)

static unsigned next(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static unsigned below(unsigned *state, unsigned limit) { return next(state) % limit; }

/* ---- actors ------------------------------------------------------------------ */

static int code_of(unsigned *random) {
    static const int codes[] = {0,         1,        -1, 7, RG_EPANIC, RG_ETIMEDOUT,
                                INT32_MAX, INT32_MIN};
    return codes[below(random, 8)];
}

static void held(const round_state *round) {
    while (!__atomic_load_n(&round->let_go, __ATOMIC_ACQUIRE))
        sched_yield();
}

static int is_one_of(int result, int a, int b, int c) {
    return result == a || result == b || result == c;
}

static int execute(void *userdata) {
    actor *self = userdata;
    rg_group *group = self->round->group;
    unsigned random = self->random;
    __sync_fetch_and_add(&self->executed, 1);
    int code = code_of(&random);
    if (self->holds)
        held(self->round);
    if (below(&random, 2) == 0)
        AGREES(rg_wait_stop(group, below(&random, 3) ? -1 : 0) >= 0);
    switch (below(&random, 8)) {
    case 0:
        return rg_fail(code, "said so");
    case 1:
        return rg_fail(code, "\xff\xfe");
    case 2:
        AGREES(rg_wait(group, -1, NULL) == RG_ESTATE); /* its own group */
        break;
    case 3:
        AGREES(rg_run(group) == RG_ESTATE);
        break;
    case 4:
        AGREES(rg_add(group, execute, rg_interrupt_none, NULL) == RG_ESTATE);
        break;
    }
    return code;
}

static void interrupt(const rg_cause *cause, void *userdata) {
    actor *self = userdata;
    AGREES(cause->message != NULL && cause->index >= -1);
    AGREES((cause->index == -1) == (cause->actor == NULL));
    AGREES(rg_stopping(self->round->group) == 1);
    if (self->holds_interrupt)
        held(self->round);
    if (__sync_fetch_and_add(&self->interrupted, 1) == 0 && self->is_async) {
        int result = rg_complete(self->done, 3, NULL);
        AGREES(is_one_of(result, 0, RG_ESTATE, 0));
    }
}

static void start(rg_completion *done, void *userdata) {
    actor *self = userdata;
    self->done = done;
    __sync_fetch_and_add(&self->executed, 1);
    if (self->random % 3 == 0)
        AGREES(rg_complete(done, 4, self->random % 2 ? "at once" : NULL) == 0);
}

static void release(void *userdata) {
    __sync_fetch_and_add(&((actor *)userdata)->released, 1);
}

static void observe(const rg_event *event, void *userdata) {
    AGREES(event->size == sizeof *event && event->message != NULL);
    AGREES(event->kind >= 0 && event->kind <= RG_EVENT_STOPPED);
    __sync_fetch_and_add((long *)userdata, 1);
}

/* ---- calls ------------------------------------------------------------------- */

static const struct {
    const void *table;
    char rest[64];
} no_handle = {&calls, {0}};

static int is_fd_or_error(int result) { return result >= 0 || result == RG_ENOMEM; }

static void call(round_state *round, unsigned *random) {
    rg_group *group = round->group;
    static const int errors[] = {RG_EINVAL, RG_EABI};
    int wrong = below(random, 16), expected = 0;
    if (wrong < 2) {
        group = wrong ? (rg_group *)(uintptr_t)&no_handle : NULL;
        expected = errors[wrong];
    }
#define RESULT(call, good)                                                               \
    do {                                                                                 \
        int result = (call);                                                             \
        AGREES(expected ? result == expected : (good));                                  \
    } while (0)
    rg_actor_report report;
    memset(&report, 0, sizeof report);
    char text[200];
    int code, signals[2] = {SIGUSR2, (int)next(random)};
    int64_t value;
    struct pollfd fds[2] = {{-1, POLLIN, 0}, {(int)below(random, 400), POLLIN, 0}};
    size_t length = below(random, sizeof text + 1), index = below(random, ACTORS + 3);
    __sync_fetch_and_add(&calls, 1);
    switch (below(random, 24)) {
    case 0: /* seldom, or nothing else ever happens */
        if (expected || below(random, 10) == 0)
            RESULT(rg_stop(group, code_of(random)), result == 0);
        break;
    case 1:
        RESULT(rg_stopping(group), is_one_of(result, 0, 1, 1));
        break;
    case 2:
        RESULT(rg_wait_stop(group, 0), is_one_of(result, 0, 1, 1));
        break;
    case 3:
        RESULT(rg_stop_fd(group), is_fd_or_error(result));
        break;
    case 4:
        RESULT(rg_done_fd(group), is_fd_or_error(result));
        break;
    case 5:
        RESULT(rg_poll(group, fds, below(random, 3), 0), result >= 0 && result <= 2);
        break;
    case 6:
        RESULT(rg_poll(group, NULL, 1 + below(random, 9), 0), result == RG_EINVAL);
        break;
    case 7:
        report.size = below(random, 2) ? sizeof report : below(random, 64);
        RESULT(rg_get_report(group, index, &report), is_one_of(result, 0, RG_EINVAL, 0));
        break;
    case 8:
        AGREES((rg_format_report(group, (int)below(random, 4), text, length), 1));
        break;
    case 9:
        AGREES(rg_actor_count(group) <= 2 * ACTORS + 3);
        break;
    case 10:
        (void)rg_get_cause(group);
        break;
    case 11:
        RESULT(rg_set_grace(group, round->stuck ? 1 : 60000),
               is_one_of(result, 0, RG_ESTATE, 0));
        break;
    case 12:
        RESULT(rg_set_order(group, (int)below(random, 5) - 1),
               is_one_of(result, 0, RG_ESTATE, RG_EINVAL));
        break;
    case 13:
        if (expected || round->refuses)
            RESULT(rg_add(group, NULL, rg_interrupt_none, NULL), result == RG_EINVAL);
        break;
    case 14:
        if (expected || round->refuses)
            RESULT(rg_add(group, execute, NULL, NULL), result == RG_EINVAL);
        break;
    case 15:
        if (expected || round->refuses)
            RESULT(rg_add_signals(group, signals + 1, 0), result == RG_EINVAL);
        break;
    case 16:
        if (round->driven)
            break;
        RESULT(rg_drive_next(group, below(random, 2) ? &value : NULL),
               is_one_of(result, RG_ESTATE, RG_EINVAL, 0));
        break;
    case 17: /* of an actor that the library runs, or of none */
        if (!round->driven)
            RESULT(rg_drive_return(group, index, 1, "no"),
                   is_one_of(result, RG_ESTATE, RG_EINVAL, RG_EINVAL));
        else
            RESULT(rg_drive_return(group, index + 2 * ACTORS, 1, "no"),
                   is_one_of(result, RG_ESTATE, RG_EINVAL, RG_EINVAL));
        break;
    case 18:
        if (!round->driven)
            RESULT(rg_drive_interrupted(group, index, NULL),
                   is_one_of(result, RG_ESTATE, RG_EINVAL, RG_EINVAL));
        else
            RESULT(rg_drive_fd(group), is_fd_or_error(result));
        break;
    case 19:
        RESULT(rg_wait(group, 0, below(random, 2) ? &code : NULL),
               is_one_of(result, 0, 1, RG_ESTATE));
        break;
    case 20:
        AGREES(rg_strerror((int)next(random)) != NULL);
        break;
    case 21:
        RESULT(rg_set_chain_signals(group, 0), is_one_of(result, 0, RG_ESTATE, 0));
        break;
    case 22:
        if (expected)
            AGREES(rg_complete((rg_completion *)group, 0, NULL) == expected);
        break;
    case 23:
        AGREES(is_one_of(rg_listens((int)below(random, 70)), 0, 1, 1));
        if (round->signals && below(random, 6) == 0)
            AGREES(kill(getpid(), SIGUSR1) == 0);
        break;
    }
}

typedef struct caller {
    round_state *round;
    unsigned random;
} caller;

static void *calling(void *userdata) {
    caller *self = userdata;
    for (int i = 0; i < CALLS; i++)
        call(self->round, &self->random);
    /* Every actor may be waiting for that. */
    AGREES(rg_stop(self->round->group, 42) == 0);
    return NULL;
}

/* ---- a round ------------------------------------------------------------------- */

static void add_actor(round_state *round, actor *self, unsigned *random) {
    static const char *const names[] = {NULL,           "a",    "",
                                        "na\xc3\xafve", "\xff", "long-enough"};
    self->round = round;
    self->random = next(random) | 1;
    unsigned name = below(random, 6);
    name = name == 4 && !round->refuses ? 0 : name;
    int bad = name == 4, result;
    self->holds = round->stuck && below(random, 3) == 0;
    self->holds_interrupt = round->stuck && below(random, 6) == 0;
    if (!self->holds && below(random, 4) == 0) {
        self->is_async = 1;
        result = rg_add_async(round->group, names[name], start, interrupt, self, release);
    } else {
        static const size_t stacks[] = {0, 16 << 10, 1 << 20, 1, (size_t)1 << 50};
        unsigned stack = below(random, round->refuses ? 12 : 3);
        rg_actor added;
        memset(&added, 0, sizeof added);
        added.size = sizeof added;
        if (round->refuses && below(random, 8) == 0)
            added.size = below(random, sizeof added);
        added.name = names[name];
        added.execute = execute;
        added.interrupt = interrupt;
        added.userdata = self;
        added.release = release;
        added.stack_size = stack < 5 ? stacks[stack] : 0;
        bad |= added.size != sizeof added || stack == 3 || stack == 4;
        result = rg_add_actor(round->group, &added);
    }
    AGREES(result == (bad ? RG_EINVAL : 0));
    round->refused |= bad;
    if (bad)
        self->round = NULL; /* never called, never released */
    else
        round->added[round->count++] = self;
}

static void add_hosted(round_state *round, unsigned *random) {
    AGREES(rg_drive_add(round->group, below(random, 2) ? "hosted" : NULL) == 0);
    round->count++;
}

/* ---- a host ---------------------------------------------------------------------- */

/* What the host has reported of its actors, all from one thread. */
typedef struct host {
    round_state *round;
    unsigned *random;
    int returned[2 * ACTORS + 1], asked[2 * ACTORS + 1];
    /* Whose interrupts were asked for, and are to be reported, in that order. */
    int asked_for[2 * ACTORS + 1], asked_count, told;
} host;

/* Reports something, if there is something to report now. Nothing of a round that
 * is to get stuck comes before its end. */
static int report_one(host *self, int late) {
    rg_group *group = self->round->group;
    if (self->told < self->asked_count && (late || below(self->random, 2))) {
        size_t index = (size_t)self->asked_for[self->told++];
        int result = rg_drive_interrupted(group, index, index % 2 ? NULL : "hm");
        AGREES(result == 0 || (result == RG_DRIVE_WAKE && !late));
        return 1;
    }
    int from = (int)below(self->random, 2 * ACTORS);
    for (int i = 0; i < self->round->count; i++) {
        int index = (from + i) % self->round->count;
        if (self->round->added[index] || self->returned[index])
            continue;
        if (self->round->stuck && !late && index % 2)
            continue;
        self->returned[index] = 1;
        int result = rg_drive_return(group, (size_t)index, code_of(self->random), "told");
        AGREES(result == 0 || (result == RG_DRIVE_WAKE && !late));
        return 1;
    }
    return 0;
}

/* Each is refused. */
static void reports_of_nothing(host *self) {
    rg_group *group = self->round->group;
    AGREES(rg_drive_return(group, 1000, 0, NULL) == RG_EINVAL);
    AGREES(rg_drive_interrupted(group, SIZE_MAX, NULL) == RG_EINVAL);
    AGREES(rg_drive_next(group, NULL) == RG_EINVAL);
    for (int i = 0; i < self->round->count; i++) {
        if (self->returned[i] || self->round->added[i])
            AGREES(rg_drive_return(group, (size_t)i, 0, NULL) == RG_ESTATE);
        if (!self->asked[i])
            AGREES(rg_drive_interrupted(group, (size_t)i, NULL) == RG_ESTATE);
    }
}

/* So many reports at most, and the next step. */
static int step(host *self, int64_t *value, unsigned limit) {
    if (below(self->random, 16) == 0)
        reports_of_nothing(self);
    __sync_fetch_and_add(&calls, 1 + limit);
    while (limit-- > 0 && report_one(self, 0))
        ;
    return rg_drive_next(self->round->group, value);
}

/* How many executes and interrupts of the host's have not returned. */
static int outstanding(const host *self) {
    int left = self->asked_count - self->told;
    for (int i = 0; i < self->round->count; i++)
        left += self->asked[i] && !self->returned[i];
    return left;
}

/* Those that were stuck, after all; also once the handle is freed. */
static void report_late(host *self) {
    while (outstanding(self) > 0)
        AGREES(report_one(self, 1));
}

/* In the order of addition, or in reverse. */
static int one_direction(const host *self) {
    int up = 1, down = 1;
    for (int i = 1; i < self->asked_count; i++) {
        up &= self->asked_for[i - 1] < self->asked_for[i];
        down &= self->asked_for[i - 1] > self->asked_for[i];
    }
    return up || down;
}

static int drive(host *self) {
    round_state *round = self->round;
    struct pollfd wakes = {-1, POLLIN, 0};
    if (below(self->random, 2))
        wakes.fd = rg_drive_fd(round->group);
    int begun = rg_drive_begin(round->group);
    if (begun == RG_EINVAL)
        return begun;
    AGREES(begun == 0);
    AGREES(rg_drive_begin(round->group) == RG_ESTATE);
    int64_t value = 0;
    /* It may have been stopped before: then nobody runs. */
    int kind = step(self, &value, 0);
    for (; kind != RG_STEP_FINISH; kind = step(self, &value, below(self->random, 4))) {
        AGREES(kind == RG_STEP_INTERRUPT || kind == RG_STEP_WAIT);
        if (kind == RG_STEP_INTERRUPT) {
            AGREES(rg_stopping(round->group) == 1);
            AGREES(value >= 0 && value < round->count && !round->added[value] &&
                   !self->asked[value]);
            self->asked[value] = 1;
            self->asked_for[self->asked_count++] = (int)value;
            AGREES(one_direction(self));
        } else if (wakes.fd >= 0) {
            poll(&wakes, 1, value < 0 ? 0 : 1);
        } else {
            sched_yield();
        }
    }
    AGREES(outstanding(self) == 0 || value == RG_ETIMEDOUT);
    return (int)value;
}

static void one_round(unsigned long seed) {
    seed_now = seed;
    unsigned random = (unsigned)(seed * 2654435761u) | 1;
    for (int i = 0; i < 8; i++)
        next(&random);
    static round_state round;
    static long events;
    memset(&round, 0, sizeof round);
    events = 0;
    round.group = rg_new();
    AGREES(round.group != NULL);
    if (below(&random, 4) == 0)
        AGREES(rg_set_observer(round.group, observe, &events) == 0);
    AGREES(rg_set_order(round.group, (int)below(&random, 3)) == 0);
    round.driven = below(&random, 3) == 0;
    round.stuck = below(&random, 8) == 0;
    round.signals = below(&random, 8) == 0;
    round.refuses = below(&random, 4) == 0;
    int grace = round.stuck ? (int)below(&random, 3) : below(&random, 3) ? -1 : 60000;
    AGREES(rg_set_grace(round.group, grace) == 0);
    int count = (int)below(&random, ACTORS + 1);
    for (int i = 0; i < count; i++) {
        if (round.driven && below(&random, 3))
            add_hosted(&round, &random);
        else
            add_actor(&round, &round.actors[i], &random);
    }
    if (round.signals || below(&random, 8) == 0) {
        int signal = round.signals ? SIGUSR1 : SIGUSR2;
        AGREES(rg_add_signals(round.group, &signal, 1) == 0);
        static actor listener;
        round.added[round.count++] = &listener;
    }
    pthread_t threads[CALLERS];
    caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){&round, next(&random) | 1};
        CHECK_INT(pthread_create(&threads[i], NULL, calling, &callers[i]), 0);
    }
    int runs = below(&random, 8) != 0, code = 0, again = 0;
    static host hosts;
    memset(&hosts, 0, sizeof hosts);
    hosts.round = &round;
    hosts.random = &random;
    if (runs && round.driven) {
        code = drive(&hosts);
    } else if (runs) {
        unsigned how = below(&random, 3);
        if (how == 0) {
            code = rg_run(round.group);
        } else if ((code = rg_start(round.group)) == 0) {
            if (how == 1)
                AGREES(rg_stop(round.group, 42) == 0);
            if (rg_wait(round.group, 1, &code) == 0) {
                AGREES(rg_stop(round.group, 42) == 0);
                AGREES(rg_wait(round.group, -1, &code) == 1);
            }
        }
    }
    if (runs && code == RG_EINVAL) { /* no actor returns that */
        AGREES(round.refuses && rg_wait(round.group, 0, NULL) == RG_ESTATE);
        runs = code = 0;
    } else if (runs) {
        AGREES(!round.refused);
    }
    if (runs) {
        AGREES(rg_wait(round.group, -1, &again) == 1 && again == code);
        AGREES(rg_run(round.group) == RG_ESTATE);
    }
    for (int i = 0; i < CALLERS; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    const rg_cause *cause = rg_get_cause(round.group);
    int stuck = 0;
    for (int i = 0; i < round.count && runs; i++) {
        rg_actor_report report;
        report.size = sizeof report;
        AGREES(rg_get_report(round.group, (size_t)i, &report) == 0);
        stuck |= report.stuck;
        if (round.added[i] && round.added[i]->holds && report.started_ns >= 0)
            AGREES(report.stuck & RG_STUCK_EXECUTE);
    }
    rg_summary summary;
    summary.size = sizeof summary;
    AGREES(rg_get_summary(round.group, &summary) == 0);
    AGREES(summary.finished == runs && summary.code == code);
    if (runs && (stuck || summary.observer_stuck))
        AGREES(code == RG_ETIMEDOUT);
    else if (runs)
        AGREES(cause != NULL ? cause->code == code : code == 0);
    if (below(&random, 2))
        __atomic_store_n(&round.let_go, 1, __ATOMIC_RELEASE);
    if (below(&random, 2))
        report_late(&hosts);
    rg_free(round.group);
    report_late(&hosts);
    __atomic_store_n(&round.let_go, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < count; i++) {
        actor *self = &round.actors[i];
        /* The last stuck actor's return releases all. */
        while (stuck && self->round &&
               !__atomic_load_n(&self->released, __ATOMIC_ACQUIRE))
            sched_yield();
        AGREES(self->released == (self->round != NULL));
        AGREES(self->executed <= 1 && self->executed == self->interrupted);
        AGREES(self->round != NULL || self->executed == 0);
    }
    __sync_fetch_and_add(&calls, 8 + count);
}

static void hear(int number) { (void)number; }

int main(int count, char **arguments) {
    unsigned long seed = count > 1 ? strtoul(arguments[1], NULL, 0) : 1;
    unsigned long rounds = count > 2 ? strtoul(arguments[2], NULL, 0) : 1;
    int64_t seconds = count > 3 ? atol(arguments[3]) : 0;
    int64_t until = now_ns() + seconds * 1000000000;
    signal(SIGUSR1, hear); /* what is there before and after a group listens */
    signal(SIGUSR2, SIG_IGN);
    running_case = "a round";
    unsigned long done = 0;
    int fds = 0;
    for (; rounds ? done < rounds : !seconds || now_ns() < until; done++) {
        if (done % 256 == 0)
            watchdog(60);
        one_round(seed + done);
        if (done == 20)
            fds = descriptors();
    }
    if (done > 20)
        CHECK_INT(descriptors(), fds);
    await_threads(1);
    cases_passed = 1;
    printf("fuzz: seeds %lu to %lu, %ld calls\n", seed, seed + done - 1, calls);
    return finish("fuzz");
}
