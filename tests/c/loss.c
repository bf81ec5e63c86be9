/* No signal is lost: one a round, at a random moment around the life of one to three
 * groups that listen for it, or around a start that fails. Each is seen by a group or
 * by the handler that the host had before, which is back after the round.
 *
 *     loss [ROUNDS [SEED]] */
#include "process.h"

static int rounds = 4000;
static uint64_t seed = 88172645463325252u;

/* On a busy machine, where a yield lasts long, a case ends after 40 seconds and says so,
 * unless its rounds were asked for. */
static int64_t ends_at;
static int rounds_asked_for;

static void begin_rounds(void) { ends_at = now_ns() + 40 * INT64_C(1000000000); }

static int goes_on(int round, int of) {
    if (round == of || rounds_asked_for || now_ns() < ends_at)
        return round < of;
    printf("loss: %d of %d rounds in 40 s\n", round, of);
    return 0;
}

static unsigned random_below(unsigned limit) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 20) % limit;
}

/* From nothing to 200 microseconds. */
static void pass_time(unsigned amount) {
    if (amount < 40) {
        for (unsigned i = 0; i < amount; i++)
            sched_yield();
        return;
    }
    int64_t until = now_ns() + (int64_t)(amount - 40) * 1000;
    while (now_ns() < until)
        sched_yield();
}

static const int signals[] = {SIGINT, SIGTERM, SIGCHLD, SIGUSR1};

static volatile int by_host;
static void host(int signal) { __sync_fetch_and_add(&by_host, signal > 0); }

/* ---- who sends --------------------------------------------------------------------- */

enum { IDLE, GO, SENT, QUIT };
static volatile int sending = IDLE;
static volatile int number;
static volatile unsigned delay;

static void *send_on_demand(void *unused) {
    for (;;) {
        int state;
        while ((state = __sync_fetch_and_add(&sending, 0)) == IDLE || state == SENT)
            sched_yield();
        if (state == QUIT)
            return unused;
        pass_time(delay);
        kill(getpid(), number);
        __sync_lock_test_and_set(&sending, SENT);
    }
}

/* Beside the main thread; it has all signals blocked itself. */
static pthread_t begin_sender(void) {
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    CHECK_INT(pthread_create(&thread, NULL, send_on_demand, NULL), 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        handle_by(signals[i], host);
    return thread;
}

static void end_sender(pthread_t thread) {
    __sync_lock_test_and_set(&sending, QUIT);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    sending = IDLE;
}

static void send_after(unsigned amount) {
    by_host = 0;
    delay = amount;
    __sync_lock_test_and_set(&sending, GO);
}

static void await_sent(void) {
    while (__sync_fetch_and_add(&sending, 0) != SENT)
        sched_yield();
}

/* ---- around the life of groups --------------------------------------------------------
 */

static int pass_some_time(void *amount) {
    pass_time(*(unsigned *)amount);
    return 1;
}

static void around_groups(int chain) {
    pthread_t sender = begin_sender();
    begin_rounds();
    for (int round = 0; goes_on(round, rounds); round++) {
        number = signals[random_below(4)];
        const int wanted = number;
        int count = random_below(4) ? 1 : 1 + (int)random_below(3);
        struct sigaction before = disposition(number);
        rg_group *groups[3];
        unsigned amounts[3][2];
        send_after(random_below(3) ? random_below(300) : random_below(60));
        for (int i = 0; i < count; i++) {
            groups[i] = rg_new();
            CHECK_INT(rg_set_chain_signals(groups[i], chain), 0);
            CHECK_INT(rg_set_order(groups[i], (int)random_below(3)), 0);
            CHECK_INT(rg_set_grace(groups[i], random_below(3) ? -1 : 60000), 0);
            CHECK_INT(rg_add_signals(groups[i], &wanted, 1), 0);
            for (unsigned j = 0; j <= random_below(2) && j < 2; j++) {
                amounts[i][j] = random_below(200);
                CHECK_INT(
                    rg_add(groups[i], pass_some_time, rg_interrupt_none, &amounts[i][j]),
                    0);
            }
        }
        if (count == 1)
            run_in((int)random_below(WAYS), groups[0]);
        else {
            for (int i = 0; i < count; i++)
                CHECK_INT(rg_start(groups[i]), 0);
            for (int i = 0; i < count; i++)
                finished(groups[i]);
        }
        CHECK(same_disposition(disposition(number), before));
        await_sent();
        int by_groups = 0;
        for (int i = 0; i < count; i++) {
            by_groups += report_of(groups[i], 0).code == 128 + wanted;
            rg_free(groups[i]);
        }
        if (by_groups + by_host == 0)
            fprintf(stderr, "round %d: signal %d to %d groups is lost\n", round, number,
                    count);
        CHECK(by_groups + by_host > 0);
        CHECK(by_host <= 1);
        CHECK(chain || by_groups == 0 || by_host == 0);
    }
    end_sender(sender);
}

static void around_the_life_of_groups(void) { around_groups(0); }
static void around_groups_that_chain(void) { around_groups(1); }

/* ---- around a start that fails
 * ---------------------------------------------------------
 */

static int never(void *userdata) {
    (void)userdata;
    CHECK(!"it is not called");
    return 0;
}

/* A stack that no address space has room for, after others that take time. */
static rg_group *impossible(int chain) {
    rg_group *group = rg_new();
    const int wanted = number;
    CHECK_INT(rg_set_chain_signals(group, chain), 0);
    CHECK_INT(rg_add_signals(group, &wanted, 1), 0);
    rg_actor actor;
    memset(&actor, 0, sizeof actor);
    actor.size = sizeof actor;
    actor.execute = never;
    actor.interrupt = rg_interrupt_none;
    for (int i = 0; i < 20; i++)
        CHECK_INT(rg_add_actor(group, &actor), 0);
    actor.stack_size = (size_t)1 << 46;
    CHECK_INT(rg_add_actor(group, &actor), 0);
    return group;
}

/* Nothing was started, so nothing of the group saw it: the host does, once. */
static void around_a_failed_start(void) {
    pthread_t sender = begin_sender();
    begin_rounds();
    for (int round = 0; goes_on(round, rounds / 4); round++) {
        number = signals[random_below(4)];
        struct sigaction before = disposition(number);
        rg_group *group = impossible(round % 2);
        send_after(random_below(1000));
        CHECK_INT(round % 3 ? rg_run(group) : rg_start(group), RG_ESPAWN);
        await_sent();
        CHECK_INT(rg_stopping(group), 0);
        CHECK_INT(report_of(group, 0).state, RG_STATE_ADDED);
        CHECK_INT(report_of(group, 0).code, 0);
        CHECK(same_disposition(disposition(number), before));
        CHECK_INT(by_host, 1);
        rg_free(group);
    }
    end_sender(sender);
}

int main(int count, char **arguments) {
    rounds_asked_for = count > 1;
    if (rounds_asked_for)
        rounds = atoi(arguments[1]);
    if (count > 2)
        seed ^= strtoull(arguments[2], NULL, 0) * 0x9E3779B97F4A7C15u;
    watchdog(240);
    CASE(around_the_life_of_groups);
    CASE(around_groups_that_chain);
    CASE(around_a_failed_start);
    return finish("loss");
}
