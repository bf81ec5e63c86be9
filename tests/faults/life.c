/* The life of some groups while one call of the C library fails:
 *
 *     life FAULT CALL ROUNDS     as in shim.c; and the same again so many times
 *
 * Whatever comes of it is an error that the header has, or, in calls that neither add
 * actors nor start a group, an abort for want of memory after a sentence.
 * Afterwards all works, and nothing is left: no thread, no descriptor, no mapping, no
 * memory, no handler. The last line tells how many calls there were, and what came of
 * them. */
#include "../c/check.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

int fault_begin(const char *fault, long call);
long fault_end(void);

/* Nothing fails: every result must be the perfect one. */
static int perfect;
/* How many results were errors. */
static int errors;
/* What all did that were started, and what was released. */
static int executed, returned, interrupted, released, added;

/* An error that the header has for want of something, or the result wanted. */
static int result(int code, int wanted) {
    if (code == wanted)
        return 1;
    CHECK_INT(perfect, 0);
    CHECK(code == RG_ENOMEM || code == RG_ESPAWN);
    CHECK(strlen(rg_strerror(code)) > 20);
    errors++;
    return 0;
}

/* ---- calls that never abort ------------------------------------------------------- */

/* The one that this thread is in. Without memory it says RG_ENOMEM. */
static __thread const char *volatile calling;

static void on_abort(int signal) {
    (void)signal;
    if (calling != NULL) {
        static const char text[] = "aborted in ";
        ssize_t ignored = write(2, text, sizeof text - 1);
        ignored = write(2, calling, strlen(calling));
        ignored = write(2, "\n", 1);
        (void)ignored;
    }
}

#define IN(function, code, call)                                                         \
    do {                                                                                 \
        calling = #function;                                                             \
        code = call;                                                                     \
        calling = NULL;                                                                  \
    } while (0)

/* Adds, and once more if that failed: then all was as before. */
#define ADD(group, function, arguments)                                                  \
    do {                                                                                 \
        size_t before = rg_actor_count(group);                                           \
        int code, tries = 0;                                                             \
        do {                                                                             \
            CHECK(tries++ < 20);                                                         \
            CHECK_INT(rg_actor_count(group), before);                                    \
            IN(function, code, function arguments);                                      \
        } while (!result(code, 0));                                                      \
        CHECK_INT(rg_actor_count(group), before + 1);                                    \
    } while (0)

/* ---- the actors ------------------------------------------------------------------ */

typedef struct actor {
    rg_group *group;
    gate stop;
    rg_completion *done;
} actor;

static void count_interrupt(const rg_cause *cause, void *userdata) {
    (void)userdata;
    CHECK(cause->message != NULL);
    __sync_fetch_and_add(&interrupted, 1);
}

/* Before its return; it does not use the handle any more. */
static int done(int code) {
    __sync_fetch_and_add(&returned, 1);
    return code;
}

static int waits(void *userdata) {
    actor *self = userdata;
    __sync_fetch_and_add(&executed, 1);
    CHECK_INT(rg_wait_stop(self->group, -1), 1);
    return done(0);
}

static int polls(void *userdata) {
    actor *self = userdata;
    __sync_fetch_and_add(&executed, 1);
    while (!rg_stopping(self->group)) {
        int code = rg_poll(self->group, NULL, 0, 20);
        if (!result(code, 0))
            return done(rg_fail(code, "cannot poll"));
    }
    return done(0);
}

static int awaits_descriptor(void *userdata) {
    actor *self = userdata;
    __sync_fetch_and_add(&executed, 1);
    struct pollfd stop = {rg_stop_fd(self->group), POLLIN, 0};
    if (stop.fd < 0) {
        result(stop.fd, 0);
        return done(rg_fail(stop.fd, "no descriptor"));
    }
    poll(&stop, 1, -1);
    CHECK_INT(rg_stopping(self->group), 1);
    return done(0);
}

static int fails_with_7(void *userdata) {
    (void)userdata;
    __sync_fetch_and_add(&executed, 1);
    return done(rg_fail(7, "why"));
}

static int signals_itself(void *userdata) {
    actor *self = userdata;
    __sync_fetch_and_add(&executed, 1);
    kill(getpid(), SIGUSR1);
    CHECK_INT(rg_wait_stop(self->group, -1), 1);
    return done(0);
}

static void starts(rg_completion *done, void *userdata) {
    ((actor *)userdata)->done = done;
    __sync_fetch_and_add(&executed, 1);
}

static void completes(const rg_cause *cause, void *userdata) {
    count_interrupt(cause, userdata);
    CHECK_INT(rg_complete(((actor *)userdata)->done, done(0), "done"), 0);
}

static int sticks(void *userdata) {
    actor *self = userdata;
    __sync_fetch_and_add(&executed, 1);
    gate_await(&self->stop, 1);
    return done(0);
}

static void observe(const rg_event *event, void *userdata) {
    CHECK(event->message != NULL);
    ++*(int *)userdata;
}

static void release(void *userdata) {
    (void)userdata;
    __sync_fetch_and_add(&released, 1);
}

static void add(rg_group *group, const char *name, rg_execute_fn execute,
                actor *userdata) {
    rg_actor whole;
    memset(&whole, 0, sizeof whole);
    whole.size = sizeof whole;
    whole.name = name;
    whole.execute = execute;
    whole.interrupt = count_interrupt;
    whole.userdata = userdata;
    whole.release = release;
    ADD(group, rg_add_actor, (group, &whole));
    added++;
}

/* 0: no descriptor was to be had, however often it was asked for, and the group is
 * freed. */
static int add_signals(rg_group *group) {
    int signal = SIGUSR1, code;
    size_t before = rg_actor_count(group);
    for (int tries = 0; tries < 20; tries++) {
        IN(rg_add_signals, code, rg_add_signals(group, &signal, 1));
        if (result(code, 0))
            return 1;
        CHECK_INT(rg_actor_count(group), before);
    }
    rg_free(group);
    CHECK_INT(released, added);
    return 0;
}

/* ---- the service manager ---------------------------------------------------------- */

static int manager; /* its socket */

static void listen_for_ready(void) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    char name[64];
    int length = snprintf(name, sizeof name, "@rungroup-faults-%ld", (long)getpid());
    memcpy(address.sun_path, name, (size_t)length);
    address.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(sizeof address.sun_family + (size_t)length);
    CHECK_INT(bind(manager, (struct sockaddr *)&address, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "2000", 1);
}

static void read_all(void) {
    char text[4096];
    while (recv(manager, text, sizeof text, MSG_DONTWAIT) >= 0)
        ;
}

/* ---- the groups -------------------------------------------------------------------- */

static rg_group *new_group(actor *userdata) {
    executed = returned = interrupted = released = added = 0;
    memset(userdata, 0, sizeof *userdata);
    userdata->stop = (gate)GATE_INIT;
    userdata->group = rg_new();
    if (userdata->group == NULL) {
        CHECK_INT(perfect, 0);
        errors++;
    }
    return userdata->group;
}

static int run(rg_group *group) {
    int code;
    IN(rg_run, code, rg_run(group));
    return code;
}

static int start_and_wait(rg_group *group) {
    int code;
    IN(rg_start, code, rg_start(group));
    if (code != 0)
        return code;
    int fd = rg_done_fd(group);
    if (result(fd < 0 ? fd : 0, 0)) {
        struct pollfd done = {fd, POLLIN, 0};
        while (poll(&done, 1, -1) < 0)
            CHECK_INT(errno, EINTR);
    }
    CHECK_INT(rg_wait(group, -1, &code), 1);
    return code;
}

/* By stuck actors in a moment. */
static void await_released(void) {
    while (__sync_fetch_and_add(&released, 0) < added)
        sched_yield();
    CHECK_INT(released, added);
}

/* Every kind of actor; one of them, or a signal, ends it. */
static void all_kinds(int by_signal, int grace, int (*way)(rg_group *)) {
    actor self;
    read_all();      /* a full queue would hold up the next message */
    static int told; /* by one that is stuck also later */
    int ended_by = by_signal ? 128 + SIGUSR1 : 7;
    told = 0;
    rg_group *group = new_group(&self);
    if (group == NULL)
        return;
    CHECK_INT(rg_set_grace(group, grace), 0);
    CHECK_INT(rg_set_observer(group, observe, &told), 0);
    add(group, NULL, waits, &self);
    add(group, "polls", polls, &self);
    add(group, "awaits", awaits_descriptor, &self);
    if (!add_signals(group))
        return;
    /* Not by ADD: it reads the environment, for which it may abort. */
    while (!result(rg_add_systemd(group), 0))
        ;
    ADD(group, rg_add_async, (group, "async", starts, completes, &self, release));
    added++;
    add(group, "ends", by_signal ? signals_itself : fails_with_7, &self);
    int code = way(group);
    /* Nothing was started: it may be run again, until it can be. */
    for (int again = 0; !rg_stopping(group) && again < 3; again++) {
        result(code, ended_by);
        CHECK_INT(told, 0);
        CHECK_INT(executed, 0);
        CHECK_INT(report_of(group, 0).state, RG_STATE_ADDED);
        code = way(group);
    }
    char text[4096];
    if (rg_stopping(group)) {
        CHECK(told > 0 || (!perfect && code == RG_ETIMEDOUT));
        const rg_cause *cause = rg_get_cause(group);
        CHECK(cause != NULL);
        if (cause->code != ended_by) {
            /* One that could not do its work ended the group: it says so. */
            CHECK_INT(perfect, 0);
            CHECK(cause->code == 1 || cause->code == RG_ENOMEM);
            CHECK(strlen(cause->message) > 10);
            errors++;
        }
        if (code != cause->code) {
            /* To its clock the grace was over. */
            CHECK_INT(perfect, 0);
            CHECK(grace > 0);
            CHECK_INT(code, RG_ETIMEDOUT);
            errors++;
            while (__sync_fetch_and_add(&returned, 0) < added)
                sched_yield(); /* they use the handle */
        } else {
            CHECK_INT(executed, added);
            CHECK_INT(interrupted, added);
        }
        if (!by_signal)
            CHECK(rg_format_report(group, RG_FORMAT_TEXT, text, sizeof text) > 0);
    }
    rg_free(group);
    await_released();
    CHECK(executed == 0 || (executed == added && interrupted == added));
}

static void driven(void) {
    actor self;
    rg_group *group = new_group(&self);
    if (group == NULL)
        return;
    ADD(group, rg_drive_add, (group, "first"));
    for (int i = 0; i < 40; i++)
        ADD(group, rg_drive_add, (group, NULL));
    add(group, "waits", waits, &self);
    if (!add_signals(group))
        return;
    int code;
    for (int again = 0; !result(code = rg_drive_begin(group), 0) && again < 3; again++)
        CHECK_INT(executed, 0);
    if (code == 0) {
        int fd = rg_drive_fd(group);
        result(fd < 0 ? fd : 0, 0);
        int effect = rg_drive_return(group, 0, 7, "why");
        CHECK(effect == 0 || effect == RG_DRIVE_WAKE);
        for (size_t i = 1; i < 41; i++)
            CHECK(rg_drive_return(group, i, 0, NULL) >= 0);
        for (;;) {
            int64_t value = 0;
            int step = rg_drive_next(group, &value);
            if (step == RG_STEP_INTERRUPT) {
                CHECK(rg_drive_interrupted(group, (size_t)value, NULL) >= 0);
                continue;
            }
            if (step == RG_STEP_FINISH) {
                code = (int)value;
                break;
            }
            CHECK_INT(step, RG_STEP_WAIT);
            struct pollfd wakes = {fd, POLLIN, 0};
            if (fd >= 0)
                poll(&wakes, 1, -1);
            else
                sched_yield();
        }
        const rg_cause *cause = rg_get_cause(group);
        CHECK_INT(cause->code, code);
        if (code != 7) {
            CHECK_INT(perfect, 0);
            CHECK(cause->code == 1);
            CHECK(strlen(cause->message) > 10);
            errors++;
        }
        CHECK_INT(interrupted, added);
    }
    rg_free(group);
    CHECK_INT(released, added);
}

/* Its stacks come from a mapping of its own. */
static void another_meanwhile(void) {
    rg_group *group = rg_new();
    if (group == NULL)
        return;
    ADD(group, rg_add, (group, return_seven, rg_interrupt_none, NULL));
    for (int again = 0; !result(run(group), 7) && again < 3; again++)
        ;
    rg_free(group);
}

static void stuck(void) {
    static actor self; /* used after the free */
    rg_group *group = new_group(&self);
    if (group == NULL)
        return;
    CHECK_INT(rg_set_grace(group, 1), 0);
    add(group, "sticks", sticks, &self);
    add(group, "ends", fails_with_7, &self);
    int code;
    for (int again = 0;
         !result(code = run(group), RG_ETIMEDOUT) && executed == 0 && again < 3; again++)
        ;
    int ran = executed != 0;
    rg_free(group);
    CHECK_INT(released, ran ? 0 : added);
    another_meanwhile();
    gate_pass(&self.stop);
    await_released();
    await_threads(1);
}

static void life(void) {
    all_kinds(0, -1, run);
    all_kinds(1, 60000, run);
    all_kinds(0, -1, start_and_wait);
    driven();
    stuck();
    /* What is stuck no more is taken back by the next run. */
    all_kinds(1, -1, start_and_wait);
}

/* ---- what is left
 * ---------------------------------------------------------------------- */

static void before_the_group(int signal) { (void)signal; }

static void handler_is_back(void) {
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    CHECK(action.sa_handler == before_the_group);
}

typedef struct held {
    int descriptors;
    size_t mapped, memory;
} held;

/* Nothing fails: all goes as it should, and what was stuck is taken back. */
static held held_when_well(void) {
    running_case = "all is well again";
    perfect = 1;
    life();
    perfect = 0;
    await_threads(1);
    handler_is_back();
    read_all();
    held now = {descriptors(), 0, 0};
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL) {
        size_t from, to;
        if (sscanf(line, "%zx-%zx", &from, &to) == 2)
            now.mapped += to - from;
    }
    fclose(maps);
    now.memory = mallinfo2().uordblks;
    return now;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    const char *fault = argv[1];
    long call = strtol(argv[2], NULL, 10), rounds = strtol(argv[3], NULL, 10);
    watchdog(60);
    running_case = fault;
    signal(SIGUSR1, before_the_group);
    signal(SIGABRT, on_abort);
    listen_for_ready();
    CHECK_INT(fault_begin(fault, call), 0);
    life();
    long calls = fault_end();
    int came_of_it = errors;
    await_threads(1);
    held before = held_when_well(), after = before;
    /* The list of stuck threads keeps its room. */
    const size_t room = 1024;
    /* Again, where memory is kept: the table of threads that wait for a lock grows,
     * at some time, with the most threads there ever were. A leak grows each time. */
    for (int times = 0; times < 6; times++) {
        /* The same fault over and over; the C library's own caches fill up first. */
        for (int round = 0; round < rounds; round++) {
            if (round == 3)
                before = held_when_well();
            running_case = fault;
            fault_begin(fault, call);
            life();
            fault_end();
            await_threads(1);
        }
        /* What a cache holds varies; what is lost never comes back. */
        for (int round = 0; rounds > 0 && round < 20; round++) {
            after = held_when_well();
            if (after.mapped <= before.mapped && after.memory <= before.memory)
                break;
        }
        if (after.memory <= before.memory + room)
            break;
    }
    CHECK_INT(after.descriptors, before.descriptors);
    /* A stack lost in each of the rounds would be twice that. */
    const size_t caches = (size_t)48 << 20;
    CHECK(after.mapped <= before.mapped + caches || strncmp(fault, "munmap", 6) == 0);
    CHECK(after.memory <= before.memory + room);
    printf("%ld calls, %d errors\n", calls, came_of_it);
    rg_exit(0);
}
