/**
 * rungroup: runs the components of a process as one group.
 *
 * Every component is an actor: execute does the work, interrupt makes it
 * return. All run at the same time; when the first returns, every one is
 * interrupted, in order, and rg_run returns once all have returned, with the
 * first one's result.
 *
 *     rg_group *group = rg_new();
 *     if (rg_add(group, serve, stop_serving, &server) != 0 ||
 *         rg_add_signals(group, NULL, 0) != 0)
 *         die(rg_last_error());
 *     int code = rg_run(group);
 *     rg_free(group);
 *
 * Generated from the sources. For every function:
 *
 * - "Rule" numbers are those of the contract, docs/contract.md.
 * - A group (or a completion) that is NULL is RG_EINVAL; one of an incompatible
 *   version of the library is RG_EABI; something that fails inside of the library
 *   itself is RG_EPANIC. A refused call has changed nothing.
 * - A group that refused an actor with RG_EINVAL does not run: rg_run, rg_start and
 *   rg_drive_begin return that, too (rule 14), so that an error which nobody looked at
 *   does not become a success.
 * - Without memory a call gives RG_ENOMEM (rg_new: NULL), and the same call may
 *   be made again. Only texts of reports may abort the process without it.
 * - Texts are UTF-8, and copied when they come in. Those that come out are the
 *   library's, and valid until rg_free.
 * - Times are in milliseconds where a name ends in _ms, in nanoseconds where it
 *   ends in _ns.
 * - Where a structure begins with its size, set it to sizeof; one of a newer
 *   header is taken, too, as long as it asks for nothing that is unknown here.
 * - Descriptors are the group's: poll them, but do not read, write or close them.
 * - A child of fork may make and run groups of its own, and run one that was made
 *   before the fork, as far as POSIX allows that in the child of a process with
 *   threads. A group that the parent runs has no threads there: it must not be
 *   waited for or freed, and rg_stop refuses it (RG_ESTATE).
 * - pthread_cancel is held off while a thread is inside of a function of the
 *   library, a wait included; it acts at the thread's next cancellation point. So
 *   cancel an actor by its interrupt, not by pthread_cancel alone.
 */


#ifndef RUNGROUP_H
#define RUNGROUP_H

#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The compiler's checks: of an error that nobody looks at, of a call that does not
 * return, of a format. */
#if defined(__GNUC__)
#define RG_MUST_USE __attribute__((warn_unused_result))
#define RG_NO_RETURN __attribute__((noreturn))
#define RG_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define RG_MUST_USE
#define RG_NO_RETURN
#define RG_PRINTF(text, first)
#endif

/* An rg_actor without anything but its size: rg_actor actor = RG_ACTOR_INIT; */
#define RG_ACTOR_INIT {sizeof(rg_actor), NULL, NULL, NULL, NULL, NULL, 0}

/**
 * No error.
 */
#define RG_OK 0

/**
 * An argument is wrong; nothing was changed.
 */
#define RG_EINVAL -10001

/**
 * Not now: the group runs or has run, or has not begun, or one of its own
 * actors waits for it.
 */
#define RG_ESTATE -10002

/**
 * No memory or no file descriptor is left.
 */
#define RG_ENOMEM -10003

/**
 * A thread could not be had; nothing was started, the group is as before.
 */
#define RG_ESPAWN -10004

/**
 * The grace was over and something of some actors had not ended.
 */
#define RG_ETIMEDOUT -10005

/**
 * An actor panicked, threw an exception or left its thread.
 */
#define RG_EPANIC -10006

/**
 * The handle is not one of a compatible version of this library.
 */
#define RG_EABI -10007

/**
 * Not on this platform.
 */
#define RG_ENOTSUP -10008

/**
 * rg_event.kind: execute was called.
 */
#define RG_EVENT_STARTED 0

/**
 * rg_event.kind: execute returned.
 */
#define RG_EVENT_RETURNED 1

/**
 * rg_event.kind: the group began to stop.
 */
#define RG_EVENT_STOPPING 2

/**
 * rg_event.kind: interrupt is about to be called.
 */
#define RG_EVENT_INTERRUPTING 3

/**
 * rg_event.kind: interrupt returned.
 */
#define RG_EVENT_INTERRUPTED 4

/**
 * rg_event.kind: not returned when the grace was over.
 */
#define RG_EVENT_STUCK 5

/**
 * rg_event.kind: the run is over.
 */
#define RG_EVENT_STOPPED 6

/**
 * rg_actor_report.state: not started.
 */
#define RG_STATE_ADDED 0

/**
 * rg_actor_report.state: execute has not returned.
 */
#define RG_STATE_RUNNING 1

/**
 * rg_actor_report.state: execute returned.
 */
#define RG_STATE_RETURNED 2

/**
 * rg_actor_report.state: execute panicked, or left its thread.
 */
#define RG_STATE_PANICKED 3

/**
 * rg_actor_report.stuck: execute (or an async actor's start) had not returned when
 * the grace was over.
 */
#define RG_STUCK_EXECUTE 1

/**
 * rg_actor_report.stuck: interrupt had not returned when the grace was over.
 */
#define RG_STUCK_INTERRUPT 2

/**
 * rg_actor_report.stuck: execute returned, but its thread has not ended: a
 * destructor of thread-specific data blocks, say.
 */
#define RG_STUCK_THREAD 4

/**
 * rg_format_report: for people.
 */
#define RG_FORMAT_TEXT 0

/**
 * rg_format_report: JSON in the trace event form, which trace viewers open.
 */
#define RG_FORMAT_TRACE 1

/**
 * rg_drive_return, rg_drive_interrupted: call rg_drive_next now.
 */
#define RG_DRIVE_WAKE 1

/**
 * rg_drive_next: call the interrupt of the actor with that index.
 */
#define RG_STEP_INTERRUPT 1

/**
 * rg_drive_next: wait that many nanoseconds, or for an event; -1: for an event.
 */
#define RG_STEP_WAIT 2

/**
 * rg_drive_next: the run is over, with that code.
 */
#define RG_STEP_FINISH 3

/**
 * This header's version; rg_version has the library's.
 */
#define RG_VERSION_MAJOR 0

/**
 * See RG_VERSION_MAJOR.
 */
#define RG_VERSION_MINOR 1

/**
 * See RG_VERSION_MAJOR.
 */
#define RG_VERSION_PATCH 0

/**
 * Major times 10000, plus minor times 100, plus patch.
 */
#define RG_VERSION_NUMBER 100

/**
 * The order of interrupts; see rg_set_order.
 */
typedef enum rg_order {
    /**
     * As added.
     */
    RG_ORDER_ADDED,
    /**
     * The last added first.
     */
    RG_ORDER_REVERSE,
    /**
     * The last added first, and each actor has returned before the next is
     * interrupted.
     */
    RG_ORDER_STAGED,
} rg_order;

/**
 * The handle by which an async actor reports its return; see rg_add_async.
 * Opaque: the group's, valid from the call of start until rg_free.
 */
typedef struct rg_completion rg_completion;

/**
 * A group of actors. Opaque: made by rg_new, freed by rg_free. Any thread may
 * use it at any time, but for rg_free, after which nobody may.
 */
typedef struct rg_group rg_group;

/**
 * An actor's work (rule 3). Called once, on a thread of its own, at the same
 * time as the other actors'; returns any int. It must end once its interrupt
 * was called. A C++ exception that leaves it ends the process, with a
 * sentence that names the actor (rule 12).
 */
typedef int (*rg_execute_fn)(void *userdata);

/**
 * Why a group stops (contract, rule 4). Handed to every interrupt, for the
 * length of the call; from rg_get_cause it is valid until rg_free.
 */
typedef struct rg_cause {
    /**
     * What rg_run returns, unless actors get stuck.
     */
    int code;
    /**
     * The name of the actor that returned first; NULL: stopped from outside.
     */
    const char *actor;
    /**
     * What that actor said of it; never NULL, "" where there is nothing.
     */
    const char *message;
    /**
     * The actor's index, in order of addition; -1: stopped from outside.
     */
    int64_t index;
} rg_cause;

/**
 * Makes the actor's execute return (rule 5). Called once, also when its
 * execute has returned already or has not got going yet, never at the same
 * time as another interrupt that returns in time. Called by the thread in
 * rg_run; by a thread of the library when a grace is set or after rg_start.
 * It must not wait for its execute, and must not call rg_wait. cause is valid
 * during the call.
 */
typedef void (*rg_interrupt_fn)(const struct rg_cause *cause, void *userdata);

/**
 * Gives an accepted actor's userdata back (rule 13). Called once, when its
 * execute and interrupt can no longer run: by the thread in rg_free, or by the
 * last stuck actor's when that returns.
 */
typedef void (*rg_release_fn)(void *userdata);

/**
 * All that rg_add takes, and more. Zero the rest.
 */
typedef struct rg_actor {
    /**
     * sizeof(rg_actor), since newer fields may follow. A library that is older than
     * its header refuses an actor with one of those set.
     */
    size_t size;
    /**
     * UTF-8, at most 255 bytes, copied; NULL: "actor-<index>". Its first 15
     * bytes are also the thread's name.
     */
    const char *name;
    /**
     * Required.
     */
    rg_execute_fn execute;
    /**
     * Required; rg_interrupt_none for an actor that watches for the stop.
     */
    rg_interrupt_fn interrupt;
    /**
     * Handed to the three functions; may be NULL. Lent until release.
     */
    void *userdata;
    /**
     * May be NULL.
     */
    rg_release_fn release;
    /**
     * Bytes of stack; 0: 8 MiB. From 16 KiB to 2^46.
     */
    size_t stack_size;
} rg_actor;

/**
 * Sets an actor without a thread going (rule 3). Called once, in order of
 * addition, by the thread in rg_run or rg_start; with a grace by a thread of
 * the library's, so that one that blocks is bounded, too. It must return soon.
 * done is the group's; pass it to rg_complete once, from any thread, also from
 * here.
 */
typedef void (*rg_start_fn)(struct rg_completion *done, void *userdata);

/**
 * Something that happened; see rg_set_observer.
 */
typedef struct rg_event {
    /**
     * sizeof(rg_event) of the library.
     */
    size_t size;
    /**
     * RG_EVENT_...
     */
    int kind;
    /**
     * Of RETURNED, STOPPING and STOPPED; else 0.
     */
    int code;
    /**
     * The actor's; -1 for STOPPED, and for a stop from outside.
     */
    int64_t index;
    /**
     * Its name, valid until rg_free; NULL where index is -1.
     */
    const char *actor;
    /**
     * Of RETURNED and STOPPING what was said, of INTERRUPTED the complaint;
     * valid until rg_free; never NULL.
     */
    const char *message;
    /**
     * Nanoseconds since the run began.
     */
    int64_t time_ns;
} rg_event;

/**
 * Told what happens; see rg_set_observer. event is valid during the call.
 */
typedef void (*rg_observer_fn)(const struct rg_event *event, void *userdata);

/**
 * What became of an actor; see rg_get_report. Strings are valid until
 * rg_free and never NULL. Times are nanoseconds since the run began, -1: it
 * has not happened.
 */
typedef struct rg_actor_report {
    /**
     * sizeof(rg_actor_report), set by the caller, since newer fields may
     * follow.
     */
    size_t size;
    /**
     * The actor's name.
     */
    const char *name;
    /**
     * RG_STATE_...
     */
    int state;
    /**
     * What its execute returned; 0 before.
     */
    int code;
    /**
     * What it said of it (rg_fail, rg_complete, a panic's text), or "".
     */
    const char *message;
    /**
     * RG_STUCK_..., or'ed; 0: not stuck.
     */
    int stuck;
    /**
     * Execute was called.
     */
    int64_t started_ns;
    /**
     * Execute returned.
     */
    int64_t returned_ns;
    /**
     * Interrupt was called.
     */
    int64_t interrupting_ns;
    /**
     * Interrupt returned.
     */
    int64_t interrupted_ns;
    /**
     * What its interrupt said (rg_fail, a panic's text), or "".
     */
    const char *complaint;
} rg_actor_report;

/**
 * What became of a group as a whole; see rg_get_summary. Times are
 * nanoseconds since the run began, -1: it has not happened.
 */
typedef struct rg_summary {
    /**
     * sizeof(rg_summary), set by the caller, since newer fields may follow.
     */
    size_t size;
    /**
     * 1 once the run is over, else 0.
     */
    int finished;
    /**
     * What rg_run returned; 0 before.
     */
    int code;
    /**
     * 1 once there is a cause (rule 4), else 0.
     */
    int stopping;
    /**
     * The cause's code; 0 before.
     */
    int cause_code;
    /**
     * The cause's actor; -1: stopped from outside, or not stopping.
     */
    int64_t cause_index;
    /**
     * What that actor said, valid until rg_free; never NULL.
     */
    const char *cause_message;
    /**
     * The executes were called.
     */
    int64_t started_ns;
    /**
     * Stopping began.
     */
    int64_t stopping_ns;
    /**
     * The run was over; before that: now.
     */
    int64_t end_ns;
    /**
     * The grace; -1: none.
     */
    int64_t grace_ns;
    /**
     * One of rg_order.
     */
    int order;
    /**
     * 1: the observer had not taken all events when the grace was over; else 0.
     */
    int observer_stuck;
} rg_summary;



#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes an empty group.
 *
 * Returns the group, to be freed with rg_free; NULL: out of memory.
 * Any thread may call it.
 */
struct rg_group *rg_new(void);

/**
 * Adds an actor (rule 3): rg_add_actor without its options.
 *
 * @param group      the group, which has not been run.
 * @param execute    does the work; NULL is RG_EINVAL.
 * @param interrupt  makes execute return; NULL is RG_EINVAL, since a forgotten
 *                   one is a hang: pass rg_interrupt_none to an actor that
 *                   watches rg_wait_stop or rg_stop_fd.
 * @param userdata   handed to both; may be NULL; the caller's to free, after
 *                   rg_free (see rg_free for stuck actors).
 *
 * Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM.
 * Any thread may call it.
 */
RG_MUST_USE
int rg_add(struct rg_group *group,
           rg_execute_fn execute,
           rg_interrupt_fn interrupt,
           void *userdata);

/**
 * Adds an actor with a name: as rg_add.
 *
 * @param group      the group, which has not been run.
 * @param name       for the report, and the thread's; copied; UTF-8 of at most 255
 *                   bytes, another one is RG_EINVAL; NULL: "actor-<index>".
 * @param execute    does the work; NULL is RG_EINVAL.
 * @param interrupt  as for rg_add.
 * @param userdata   as for rg_add.
 *
 * Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
 */
RG_MUST_USE
int rg_add_named(struct rg_group *group,
                 const char *name,
                 rg_execute_fn execute,
                 rg_interrupt_fn interrupt,
                 void *userdata);

/**
 * Adds an actor with a name, a release function, a stack size.
 *
 * @param group  the group, which has not been run.
 * @param actor  read and copied during the call, the name included; NULL, a
 *               wrong size, a missing function, a bad name or stack size is
 *               RG_EINVAL.
 *
 * Returns 0: release will be called once (rule 13); or RG_EINVAL, RG_ESTATE,
 * RG_ENOMEM: the userdata is still the caller's. Any thread may call it.
 */
RG_MUST_USE int rg_add_actor(struct rg_group *group, const struct rg_actor *actor);

/**
 * An interrupt that does nothing: for actors that watch rg_wait_stop,
 * rg_stop_fd or rg_poll.
 *
 * @param cause     not used.
 * @param userdata  not used.
 */
void rg_interrupt_none(const struct rg_cause *cause, void *userdata);

/**
 * Adds an actor that has no thread: an event loop's, say (rule 3).
 *
 * @param group      the group, which has not been run.
 * @param name       as in rg_actor; NULL: "actor-<index>".
 * @param start      sets it going; NULL is RG_EINVAL.
 * @param interrupt  makes it complete; NULL is RG_EINVAL.
 * @param userdata   handed to the three; may be NULL.
 * @param release    may be NULL.
 *
 * Returns as rg_add_actor does. Any thread may call it.
 */
RG_MUST_USE
int rg_add_async(struct rg_group *group,
                 const char *name,
                 rg_start_fn start,
                 rg_interrupt_fn interrupt,
                 void *userdata,
                 rg_release_fn release);

/**
 * Reports that an async actor has returned (rule 4). Never blocks.
 *
 * @param done     what its start was given.
 * @param code     its result.
 * @param message  copied; other bytes than UTF-8 are replaced; NULL: none.
 *
 * Returns 0; RG_ESTATE: it was reported before (while the group is not freed;
 * after that the handle is invalid); RG_EINVAL. Any thread may call it, once.
 */
int rg_complete(struct rg_completion *done, int code, const char *message);

/**
 * Sets the grace: how long after stopping began rg_run returns at the latest,
 * whatever is stuck (rule 10). It also bounds what an async actor's start may
 * hold up. With a grace, starts and interrupts are called on a thread of the
 * library's, or on several once one of them hangs. If such a thread does not end in
 * time, because the destructor of thread-specific data that they set there blocks, it
 * is left behind.
 *
 * @param group       the group, which has not been run.
 * @param timeout_ms  in milliseconds; negative (the default): wait for ever.
 *
 * Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
 */
int rg_set_grace(struct rg_group *group, int64_t timeout_ms);

/**
 * Sets the order of interrupts (rule 6).
 *
 * @param group  the group, which has not been run.
 * @param order  one of rg_order; another number is RG_EINVAL.
 *
 * Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
 */
int rg_set_order(struct rg_group *group, int order);

/**
 * Runs the group: starts every actor, waits for the first to return,
 * interrupts all in order, and returns when all have returned (rules 1 to 7),
 * or when the grace is over (rule 10). Without a grace, starts and interrupts
 * are called on this thread.
 *
 * @param group  the group; it runs once.
 *
 * Returns the first actor's code, or rg_stop's; RG_ETIMEDOUT: some actors are
 * stuck, and rg_get_report tells which; RG_ESPAWN or RG_ENOMEM: nothing was
 * started, and the group may be run again; RG_ESTATE or RG_EINVAL. The signal
 * mask, the signals' dispositions, the locale and the working directory are
 * then as before (rule 15). Any thread may call it.
 */
int rg_run(struct rg_group *group);

/**
 * Starts every actor, or none (rule 2), and returns: for a host that waits in
 * a loop of its own. Threads of the library call the interrupts, and with a
 * grace the starts.
 *
 * @param group  the group; it runs once.
 *
 * Returns 0, and rg_wait must follow at some time before rg_free; or RG_ESPAWN,
 * RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL. Any thread may call it.
 */
RG_MUST_USE int rg_start(struct rg_group *group);

/**
 * A descriptor that is readable once rg_wait would not block.
 *
 * @param group  the group. The descriptor is its own, closed by rg_free, and
 *               must not be read from.
 *
 * Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
 * thread may call it, at any time.
 */
int rg_done_fd(struct rg_group *group);

/**
 * Waits for the end of a run that rg_start (or rg_run on another thread)
 * began.
 *
 * @param group       the group.
 * @param timeout_ms  how long to wait, in milliseconds; negative: for ever.
 * @param code        is given what rg_run would have returned; NULL: not wanted.
 *                    Written only when 1 is returned.
 *
 * Returns 1: the run is over; 0: timed out; RG_ESTATE: it has not been
 * started, or this is one of its own actors; RG_EINVAL. Several threads may
 * wait, and after one of them rg_free may be called at once.
 */
int rg_wait(struct rg_group *group, int64_t timeout_ms, int *code);

/**
 * Frees a group that was not run, or whose run is over, and calls its actors'
 * release functions. If actors are stuck, the caller gives it up, and all of it
 * is freed, and released, when the last of them returns (rule 11).
 *
 * @param group  NULL is fine. Nobody may use it afterwards but stuck actors,
 *               until they return; freeing it twice is forbidden. Other
 *               threads that wait in rg_wait, rg_wait_stop or rg_poll, or are
 *               inside rg_stop, may go on; but no call may begin while this
 *               one runs, or later: end the threads that would make one
 *               first. A group that runs is not freed: one sentence on stderr
 *               says so, and it stays valid.
 */
void rg_free(struct rg_group *group);

/**
 * Stops the group (rule 9). Before rg_run: rg_run will return the code without
 * starting anything. If it is stopping already, nothing changes.
 *
 * @param group  the group.
 * @param code   what rg_run returns.
 *
 * Returns 0 or RG_EINVAL; RG_ESTATE in a child of fork, if the parent runs the
 * group. Any thread may call it, any number of times; not a signal handler (see
 * rg_add_signals).
 */
int rg_stop(struct rg_group *group, int code);

/**
 * Whether stopping has begun (rule 5). It is never undone.
 *
 * @param group  the group.
 *
 * Returns 1 or 0; RG_EINVAL. Any thread may call it; it never blocks.
 */
int rg_stopping(const struct rg_group *group);

/**
 * Waits until stopping begins: a sleep that ends when it should.
 *
 * @param group       the group.
 * @param timeout_ms  how long, in milliseconds; negative: for ever.
 *
 * Returns 1: stopping; 0: timed out; RG_EINVAL. Any thread may call it.
 */
int rg_wait_stop(const struct rg_group *group, int64_t timeout_ms);

/**
 * A descriptor that is readable once stopping began (rule 5), for poll, epoll
 * and event loops.
 *
 * @param group  the group. The descriptor is its own, closed by rg_free, and
 *               must not be read from.
 *
 * Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
 * thread may call it, at any time.
 */
int rg_stop_fd(struct rg_group *group);

/**
 * poll(2) that also ends when the group stops. An interruption by a signal is
 * not an end.
 *
 * @param group       the group.
 * @param fds         as for poll; NULL is fine with count 0.
 * @param count       how many.
 * @param timeout_ms  how long, in milliseconds; negative: for ever.
 *
 * Returns how many of fds have events; 0: the time is over or the group is
 * stopping, which rg_stopping tells apart; RG_EINVAL, RG_ENOMEM. Any thread
 * may call it.
 */
int rg_poll(struct rg_group *group, struct pollfd *fds, size_t count, int64_t timeout_ms);

/**
 * Adds an actor, named "signals", that returns when one of the signals comes,
 * with 128 plus its number and its name as message (rule 16).
 *
 * It listens from before the first execute until the run is over, whatever
 * ended the group; the dispositions are then as before (rule 15). Its thread
 * unblocks the signals for itself, so that a program may block them in main,
 * start its other threads, and run: none is lost. A signal that comes while the
 * group stops is absorbed, and noted in the report if this actor had not had
 * one. Only a SIGINT or SIGQUIT that comes 250 ms or more after the one before
 * goes to the disposition that was there before the run: a second Ctrl-C kills.
 * Where that is the default, which does not end process 1 of a container, the
 * library ends it, with status 128 plus the signal's number.
 *
 * A signal that is ignored when the run begins (nohup) stays ignored. A handler
 * that somebody has put over the library's is never overruled. But an event loop
 * that removes its own leaves the default, and the next SIGTERM would kill: where
 * that is found when an actor's execute has returned, or in rg_wait, the library
 * listens again. Several groups may listen for one signal: each hears it. If the
 * system does not let the actor wait, it returns 1, with a message, which ends the
 * group (rule 4).
 *
 * @param group    the group, which has not been run.
 * @param signals  the numbers; NULL, with count 0: SIGINT and SIGTERM. One that
 *                 cannot be caught or that means a fault (SIGKILL, SIGSTOP,
 *                 SIGSEGV, ...) is RG_EINVAL.
 * @param count    how many; 0 only with NULL.
 *
 * Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
 */
RG_MUST_USE int rg_add_signals(struct rg_group *group, const int *signals, size_t count);

/**
 * Whether the signal actors added from now on also hand a signal on to the
 * handler that was there before: for hosts whose runtime must see it too.
 *
 * @param group  the group, which has not been run.
 * @param on     0 (the default): no; else: yes.
 *
 * Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
 */
int rg_set_chain_signals(struct rg_group *group, int on);

/**
 * Whether a group of this copy of the library listens for a signal at this
 * moment: for hosts whose runtime handles signals, too.
 *
 * @param signal  any number.
 *
 * It is 0 as well once a second Ctrl-C was passed on to the disposition of
 * before the run (see rg_add_signals): then the signal is the runtime's.
 *
 * Returns 1 or 0. Any thread may call it, and a signal handler.
 */
int rg_listens(int signal);

/**
 * Adds an actor, named "systemd", that tells the service manager that started
 * the process how the group is, by the protocol of sd_notify(3): READY=1 once
 * all actors run; STOPPING=1, with the cause as STATUS, once it stops; and
 * until then WATCHDOG=1, twice as often as the unit's WatchdogSec asks. The
 * environment is read during this call; without NOTIFY_SOCKET in it the actor
 * only waits for the stop. If the manager cannot be told that the group is
 * ready, the actor returns 1, with a message, which ends the group (rule 4).
 *
 * @param group  the group, which has not been run.
 *
 * Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
 */
RG_MUST_USE int rg_add_systemd(struct rg_group *group);

/**
 * Sets the observer: a function that is called with the group's events, one at a
 * time and in order.
 *
 * Without a grace it is called by the thread that drives the run (rg_run's, or
 * the library's own after rg_start), before the step that an event announces;
 * the run waits for it. With a grace a thread of the library's calls it, and the
 * run goes on meanwhile; only at the end the run waits, as long as the grace lasts,
 * until the observer has had the last event. If it has not by then, rg_run returns
 * RG_ETIMEDOUT, and the report says that the observer is stuck. A host that
 * drives calls it in rg_drive_next.
 *
 * @param group     the group, which has not been run.
 * @param observer  the function; NULL: none any more.
 * @param userdata  handed to it; must live until rg_run or rg_wait returned, or
 *                  if the observer is stuck, until it returns.
 *
 * Returns 0, RG_EINVAL or RG_ESTATE. Any thread may call it.
 */
int rg_set_observer(struct rg_group *group, rg_observer_fn observer, void *userdata);

/**
 * In an execute: keeps a message for the cause and the report. In an
 * interrupt: keeps a complaint for the report.
 *
 * @param code     what the execute is going to return; another code drops the
 *                 message.
 * @param message  copied; other bytes than UTF-8 are replaced; NULL: none.
 *
 * Returns code, so that an actor can end with `return rg_fail(1, "...")`.
 */
int rg_fail(int code, const char *message);

/**
 * Why the group stops (rule 4).
 *
 * @param group  the group.
 *
 * Returns the cause, valid until rg_free; NULL before stopping began, and for
 * a bad handle. Any thread may call it.
 */
const struct rg_cause *rg_get_cause(const struct rg_group *group);

/**
 * How many actors were added, signal actors included.
 *
 * @param group  the group; NULL or a bad handle: 0.
 *
 * Any thread may call it.
 */
size_t rg_actor_count(const struct rg_group *group);

/**
 * What became of an actor, now or at the end.
 *
 * @param group  the group.
 * @param index  the actor's, in order of addition, below rg_actor_count.
 * @param out    the caller's, with its size set; written only on success.
 *
 * Returns 0; RG_EINVAL: NULL, no such actor, or a size that is too small. Any
 * thread may call it.
 */
int rg_get_report(const struct rg_group *group,
                  size_t index,
                  struct rg_actor_report *out);

/**
 * What became of the group as a whole, now or at the end.
 *
 * @param group  the group.
 * @param out    the caller's, with its size set; written only on success.
 *
 * Returns 0; RG_EINVAL: NULL, or a size that is too small. Any thread may call
 * it.
 */
int rg_get_summary(const struct rg_group *group, struct rg_summary *out);

/**
 * The report as text, or as a trace.
 *
 * @param group   the group, at any time.
 * @param format  RG_FORMAT_TEXT or RG_FORMAT_TRACE; another: the empty text.
 * @param buffer  is given the text and a NUL, cut to fit between characters;
 *                NULL is fine with length 0.
 * @param length  the buffer's, in bytes.
 *
 * Returns the whole text's length without its NUL, as snprintf does; 0 for a
 * bad handle. Any thread may call it.
 */
size_t rg_format_report(const struct rg_group *group,
                        int format,
                        char *buffer,
                        size_t length);

/**
 * rg_format_report for a report that the caller has kept, or that is of a
 * group freed since.
 *
 * @param summary  from rg_get_summary; NULL, or a size that is too small: the
 *                 empty text.
 * @param actors   from rg_get_report, in order of addition, each with the size
 *                 of all set; NULL is fine with count 0. A name that is NULL is
 *                 "actor-<index>"; other texts may be NULL, too.
 * @param count    how many.
 * @param format   as in rg_format_report.
 * @param buffer   as in rg_format_report.
 * @param length   as in rg_format_report.
 *
 * Returns as rg_format_report does. Any thread may call it.
 */
size_t rg_format_summary(const struct rg_summary *summary,
                         const struct rg_actor_report *actors,
                         size_t count,
                         int format,
                         char *buffer,
                         size_t length);

/**
 * A sentence that says what an error means and what to do about it.
 *
 * @param code  any int.
 *
 * Returns a constant text, never NULL. Any thread may call it.
 */
const char *rg_strerror(int code);

/**
 * The name of an error, "RG_EINVAL" say.
 *
 * @param code  any int.
 *
 * Returns a constant text; NULL: it is no error of the library's. Any thread may call
 * it.
 */
const char *rg_error_name(int code);

/**
 * Why the last call of this thread was refused, as a sentence: the function, which
 * argument or actor, and what the system said. For the log, right after a function
 * has returned an error; a call that succeeds does not change it.
 *
 * Returns the text, valid until the next refusal on this thread; "" before the first.
 * Any thread may call it.
 */
const char *rg_last_error(void);

/**
 * Writes the report as text to a descriptor: rg_format_report for those who want to
 * see it.
 *
 * @param group  the group.
 * @param fd     2, for stderr, say; written to until all is there.
 *
 * Returns 0; RG_EINVAL: a bad handle, or nothing can be written there. Any thread may
 * call it.
 */
int rg_print_report(const struct rg_group *group, int fd);

/**
 * Ends the process at once, for main when actors are stuck (RG_ETIMEDOUT): exit
 * would destroy what they still use. Flushes stdout and stderr, but not a stream
 * whose lock another thread holds, waits at most a second for each to be read, and
 * calls _exit.
 *
 * @param code  the process's exit status.
 */
void rg_exit(int code) RG_NO_RETURN;

/**
 * The library's version as a number, to be compared with RG_VERSION_NUMBER.
 */
int rg_version_number(void);

/**
 * The library's version, "0.1.0" say: a constant text.
 */
const char *rg_version(void);

/**
 * For authors of bindings whose language has a scheduler of its own: adds an
 * actor that the host runs. The host *drives* such a group: it calls
 * rg_drive_begin, starts its actors, and from then on asks rg_drive_next what
 * to do, reports each execute's return with rg_drive_return and each
 * interrupt's with rg_drive_interrupted. No rule of the contract is left to
 * it. Other actors (rg_add, rg_add_signals, ...) may be in the group too; the
 * library runs and interrupts them. rg_stop, rg_stop_fd, the report and the
 * rest work as always.
 *
 * @param group  the group, which has not been run.
 * @param name   as in rg_actor.
 *
 * Returns 0, RG_EINVAL, RG_ESTATE or RG_ENOMEM. Any thread may call it.
 */
RG_MUST_USE int rg_drive_add(struct rg_group *group, const char *name);

/**
 * Begins a run that the host drives: the library's actors are started, and the
 * host's count as started. Without actors, or after rg_stop, there is nothing
 * to start: rg_stopping is 1, and rg_drive_next says RG_STEP_FINISH at once.
 *
 * @param group  the group; it runs once.
 *
 * Returns 0; RG_ESPAWN, RG_ENOMEM (nothing was started), RG_ESTATE, RG_EINVAL.
 * Any thread may call it.
 */
RG_MUST_USE int rg_drive_begin(struct rg_group *group);

/**
 * Reports that a driven actor's execute has returned. It only posts that: it
 * takes no lock, waits for nobody and calls nothing back.
 *
 * @param group    the group. It is valid for this call even after rg_free, if
 *                 the actor was stuck: with the last such report the rest of
 *                 the group is freed (rule 11).
 * @param index    the actor's.
 * @param code     its result.
 * @param message  copied; NULL: none.
 *
 * Returns RG_DRIVE_WAKE: rg_drive_next has something new to say (a host that
 * polls rg_drive_fd need not look at this); or 0; or RG_ESTATE (reported
 * before, or not running), RG_EINVAL. Any thread may call it, once an actor.
 */
int rg_drive_return(struct rg_group *group, size_t index, int code, const char *message);

/**
 * Reports that a driven actor's interrupt has returned. As rg_drive_return, it
 * only posts that.
 *
 * @param group      as for rg_drive_return.
 * @param index      the actor's.
 * @param complaint  what went wrong in it, copied; NULL: nothing.
 *
 * Returns as rg_drive_return does. Any thread may call it, once an actor.
 */
int rg_drive_interrupted(struct rg_group *group, size_t index, const char *complaint);

/**
 * The next thing for the host to do. Does not wait, except for threads of the
 * library that are about to end. One thread at a time calls it, which also
 * calls the observer from here.
 *
 * @param group  the group.
 * @param value  is given the step's number; NULL is RG_EINVAL.
 *
 * Returns RG_STEP_...; or RG_ESTATE, RG_EINVAL. It is asked again after each
 * step, after RG_DRIVE_WAKE, when the time is over, and when rg_drive_fd is
 * readable.
 */
int rg_drive_next(struct rg_group *group, int64_t *value);

/**
 * A descriptor that is readable when rg_drive_next has something new to say,
 * also because of rg_stop or of an actor that the library runs. rg_drive_next
 * drains it when it says that there is nothing to do, or that the run is over.
 *
 * @param group  the group; the descriptor is its own, closed by rg_free.
 *
 * Returns the descriptor, the same at every call; or RG_ENOMEM, RG_EINVAL. Any
 * thread may call it, at any time.
 */
int rg_drive_fd(struct rg_group *group);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RUNGROUP_H */


#ifndef RG_FAILF
#define RG_FAILF

#ifdef __cplusplus
extern "C" {
#endif

/**
 * rg_fail with a text as of printf: `return rg_failf(1, "cannot open %s", path);`.
 * What is longer than 1,023 bytes is cut.
 */
RG_PRINTF(2, 3) static inline int rg_failf(int code, const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return rg_fail(code, message);
}

#ifdef __cplusplus
}
#endif

#endif /* RG_FAILF */
