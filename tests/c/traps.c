/* The native traps: threads, stacks, descriptors, blocked calls, exits. */
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

/* ---- names ------------------------------------------------------------------ */

static int name_is(void *wanted) {
    char name[16] = "";
    CHECK_INT(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    CHECK_STR(name, wanted);
    FILE *comm = fopen("/proc/thread-self/comm", "r");
    CHECK(comm != NULL && fgets(name, sizeof name, comm) != NULL);
    fclose(comm);
    name[strcspn(name, "\n")] = 0;
    CHECK(strncmp(name, wanted, strlen(name)) == 0);
    return 0;
}

static void thread_names(void) {
    const struct {
        const char *name, *shown;
    } names[] = {{"http", "http"},
                 {NULL, "actor-1"},
                 {"exactly15bytes.", "exactly15bytes."},
                 {"a name that is longer", "a name that is "},
                 {"fourteen bytes\xc3\xa4", "fourteen bytes"}}; /* not half a letter */
    rg_group *group = rg_new();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rg_actor actor =
            actor_of(names[i].name, name_is, rg_interrupt_none, (void *)names[i].shown);
        CHECK_INT(rg_add_actor(group, &actor), 0);
    }
    char before[16], after[16];
    pthread_getname_np(pthread_self(), before, sizeof before);
    CHECK_INT(rg_run(group), 0);
    pthread_getname_np(pthread_self(), after, sizeof after);
    CHECK_STR(after, before);
    rg_free(group);
}

/* ---- stacks ------------------------------------------------------------------- */

static int measure_stack(void *size) {
    pthread_attr_t attributes;
    CHECK_INT(pthread_getattr_np(pthread_self(), &attributes), 0);
    CHECK_INT(pthread_attr_getstacksize(&attributes, (size_t *)size), 0);
    pthread_attr_destroy(&attributes);
    return 0;
}

static int use_stack(void *userdata) {
    char block[7 << 20];
    (void)userdata;
    for (size_t i = 0; i < sizeof block; i += 4096)
        ((volatile char *)block)[i] = 1;
    return ((volatile char *)block)[0] - 1;
}

static void stack_sizes(void) {
    const size_t asked[] = {0, 64 << 10, 1 << 20, 64 << 20};
    size_t sizes[4] = {0};
    rg_group *group = rg_new();
    for (int i = 0; i < 4; i++) {
        rg_actor actor = actor_of(NULL, measure_stack, rg_interrupt_none, &sizes[i]);
        actor.stack_size = asked[i];
        CHECK_INT(rg_add_actor(group, &actor), 0);
    }
    CHECK_INT(rg_add(group, use_stack, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);
    CHECK_INT(sizes[0], 8 << 20);
    for (int i = 1; i < 4; i++)
        CHECK(sizes[i] >= asked[i] && sizes[i] < 2 * asked[i]);
}

/* ---- threads that leave -------------------------------------------------------- */

static int destroyed;
static void count_destroyed(void *value) {
    CHECK(value == &destroyed);
    __sync_fetch_and_add(&destroyed, 1);
}
static void clean_up(void *value) { count_destroyed(value); }

static pthread_key_t own_key;

static int exit_thread(void *userdata) {
    (void)userdata;
    pthread_setspecific(own_key, &destroyed);
    pthread_cleanup_push(clean_up, &destroyed);
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
    return 0;
}

static int cancel_self(void *userdata) {
    (void)userdata;
    pthread_setspecific(own_key, &destroyed);
    pthread_cleanup_push(clean_up, &destroyed);
    pthread_cancel(pthread_self());
    pthread_testcancel();
    pthread_cleanup_pop(0);
    return 0;
}

/* rg_run, or its two halves. */
static int run_either(rg_group *group, int by_start) {
    int code = 0;
    if (!by_start)
        return rg_run(group);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_wait(group, -1, &code), 1);
    return code;
}

static void execute_leaves(rg_execute_fn leave, int by_start) {
    destroyed = 0;
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, leave, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
    int code = run_either(group, by_start);
    CHECK_INT(code, RG_EPANIC);
    CHECK_INT(rg_get_cause(group)->index, 0);
    CHECK(strstr(rg_get_cause(group)->message, "pthread_exit") != NULL);
    CHECK_INT(report_of(group, 0).state, RG_STATE_PANICKED);
    CHECK_INT(report_of(group, 0).code, RG_EPANIC);
    CHECK_INT(report_of(group, 1).state, RG_STATE_RETURNED);
    CHECK_INT(destroyed, 2);
    rg_free(group);
    await_threads(1);
}

static void exit_in_execute(void) {
    CHECK_INT(pthread_key_create(&own_key, count_destroyed), 0);
    for (int by_start = 0; by_start < 2; by_start++) {
        execute_leaves(exit_thread, by_start);
        execute_leaves(cancel_self, by_start);
    }
    pthread_key_delete(own_key);
}

/* A cancellation from outside, in a blocking call. */
static gate running = GATE_INIT;
static pthread_t victim;

static int block_for_ever(void *userdata) {
    (void)userdata;
    victim = pthread_self();
    gate_pass(&running);
    pause();
    return 0;
}

static void cancel_from_outside(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, block_for_ever, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_start(group), 0);
    gate_await(&running, 1);
    CHECK_INT(pthread_cancel(victim), 0);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, RG_EPANIC);
    rg_free(group);
}

/* It was first: others' codes do not count, and neither does a later exit. */
static int wait_then_exit(void *group) {
    rg_wait_stop(group, -1);
    pthread_exit(NULL);
}

static void exit_after_stop(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, wait_then_exit, rg_interrupt_none, group), 0);
    CHECK_INT(rg_run(group), 7);
    CHECK_INT(report_of(group, 1).state, RG_STATE_PANICKED);
    rg_free(group);
}

static void exit_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    pthread_exit(NULL);
}

static int interrupted;
static void count_interrupt(const rg_cause *cause, void *userdata) {
    (void)cause;
    (void)userdata;
    __sync_fetch_and_add(&interrupted, 1);
}

static void exit_in_interrupt(void) {
    for (int by_start = 0; by_start < 2; by_start++) {
        interrupted = 0;
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, 20000), 0);
        CHECK_INT(rg_add(group, until_stop, exit_interrupt, group), 0);
        CHECK_INT(rg_add(group, return_seven, count_interrupt, NULL), 0);
        CHECK_INT(rg_add(group, until_stop, exit_interrupt, group), 0);
        CHECK_INT(rg_add(group, until_stop, count_interrupt, group), 0);
        int code = run_either(group, by_start);
        CHECK_INT(code, 7);
        CHECK_INT(interrupted, 2);
        for (int i = 0; i < 4; i++) {
            CHECK_INT(report_of(group, i).stuck, 0);
            CHECK_INT(report_of(group, i).complaint[0] != 0, i % 2 == 0);
        }
        rg_free(group);
        await_threads(1);
    }
}

/* ---- the stop descriptor ---------------------------------------------------------- */

static int read_stop_fd(void *group) {
    struct pollfd stop = {rg_stop_fd(group), POLLIN, 0};
    CHECK_INT(poll(&stop, 1, -1), 1);
    gate_pass(&running);
    return 0;
}

/* Hangs until the other actor has seen the descriptor. */
static void hang_until_seen(const rg_cause *cause, void *wanted) {
    (void)cause;
    gate_await(&running, *(int *)wanted);
}

static void descriptor_before_interrupts(void) {
    for (int i = 0; i < 200; i++) {
        rg_group *group = rg_new();
        int wanted = gate_count(&running) + 1;
        CHECK_INT(rg_add(group, return_seven, hang_until_seen, &wanted), 0);
        CHECK_INT(rg_add(group, read_stop_fd, rg_interrupt_none, group), 0);
        CHECK_INT(rg_run(group), 7);
        struct pollfd stop = {rg_stop_fd(group), POLLIN, 0};
        CHECK_INT(poll(&stop, 1, 0), 1);
        CHECK_INT(rg_stopping(group), 1);
        rg_free(group);
    }
}

/* ---- a program without standard streams --------------------------------------- */

static int write_for_nobody(void *group) {
    CHECK(rg_done_fd(group) > STDERR_FILENO);
    CHECK(rg_stop_fd(group) > STDERR_FILENO);
    for (int fd = STDIN_FILENO; fd <= STDOUT_FILENO; fd++)
        CHECK_INT(write(fd, "taken for a count", 17), -1);
    CHECK_INT(rg_poll(group, NULL, 0, 0), 0);
    return 3;
}

/* A descriptor of the library's that took the place of a closed stream would count
 * what is printed as a stop. */
static void streams_closed(void) {
    int signal = SIGUSR1;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    rg_group *group = rg_new();
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    CHECK_INT(rg_add(group, write_for_nobody, rg_interrupt_none, group), 0);
    CHECK_INT(run_either(group, 1), 3);
    rg_free(group);
}

static void without_streams(void) { check_in_child(streams_closed); }

/* ---- rg_poll ------------------------------------------------------------------------
 */

static void wake_up(int signal) { (void)signal; }

typedef struct polling {
    rg_group *group;
    int pipe[2];
    int result;
    gate about_to_poll;
} polling;

static int poll_pipe(void *userdata) {
    polling *polling = userdata;
    struct pollfd fd = {polling->pipe[0], POLLIN, 0};
    victim = pthread_self();
    gate_pass(&polling->about_to_poll);
    polling->result = rg_poll(polling->group, &fd, 1, -1);
    return fd.revents & POLLIN ? 1 : 0;
}

static void poll_goes_on(int by_stop) {
    polling polling = {.about_to_poll = GATE_INIT, .result = 42};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = wake_up; /* without SA_RESTART: poll gives EINTR */
    sigemptyset(&action.sa_mask);
    CHECK_INT(sigaction(SIGUSR2, &action, &before), 0);
    CHECK_INT(pipe(polling.pipe), 0);
    polling.group = rg_new();
    CHECK_INT(rg_add(polling.group, poll_pipe, rg_interrupt_none, &polling), 0);
    CHECK_INT(rg_start(polling.group), 0);
    gate_await(&polling.about_to_poll, 1);
    for (int i = 0; i < 2000; i++)
        CHECK_INT(pthread_kill(victim, SIGUSR2), 0);
    CHECK_INT(rg_wait(polling.group, 0, NULL), 0);
    if (by_stop)
        rg_stop(polling.group, 3);
    else
        CHECK_INT(write(polling.pipe[1], "x", 1), 1);
    int code = 42;
    CHECK_INT(rg_wait(polling.group, -1, &code), 1);
    CHECK_INT(code, by_stop ? 3 : 1);
    CHECK_INT(polling.result, by_stop ? 0 : 1);
    rg_free(polling.group);
    close(polling.pipe[0]);
    close(polling.pipe[1]);
    sigaction(SIGUSR2, &before, NULL);
}

static void poll_retries(void) {
    poll_goes_on(0);
    poll_goes_on(1);
}

/* ---- calls that block
 * ------------------------------------------------------------------ */

static int accept_one(void *listener) {
    gate_pass(&running);
    int accepted = accept(*(int *)listener, NULL, NULL);
    CHECK(accepted == -1 && errno == EINVAL);
    return 0;
}

static void shut_down(const rg_cause *cause, void *fd) {
    (void)cause;
    shutdown(*(int *)fd, SHUT_RDWR);
}

static int read_socket(void *fd) {
    char byte;
    gate_pass(&running);
    CHECK_INT(read(*(int *)fd, &byte, 1), 0);
    return 0;
}

static int return_when_blocked(void *wanted) {
    gate_await(&running, *(int *)wanted);
    return 7;
}

static void unblocked_by_shutdown(void) {
    for (int i = 0; i < 50; i++) {
        struct sockaddr_in address;
        memset(&address, 0, sizeof address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int listener = socket(AF_INET, SOCK_STREAM, 0), pair[2];
        CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
        CHECK_INT(listen(listener, 1), 0);
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        int wanted = gate_count(&running) + 2;
        rg_group *group = rg_new();
        CHECK_INT(rg_add(group, accept_one, shut_down, &listener), 0);
        CHECK_INT(rg_add(group, read_socket, shut_down, &pair[0]), 0);
        CHECK_INT(rg_add(group, return_when_blocked, rg_interrupt_none, &wanted), 0);
        CHECK_INT(rg_run(group), 7);
        rg_free(group);
        close(listener);
        close(pair[0]);
        close(pair[1]);
    }
}

/* ---- rg_exit
 * ------------------------------------------------------------------------------ */

static int out[2];

static void never(void) { CHECK(!"exit handlers must not run"); }

static int read_for_ever(void *userdata) {
    (void)userdata;
    gate_pass(&running);
    return getchar(); /* holds stdin's lock */
}

static void exit_with_stuck_actor(void) {
    int in[2];
    CHECK_INT(pipe(in), 0);
    dup2(in[0], 0);
    dup2(out[1], 1);
    setvbuf(stdout, NULL, _IOFBF, 4096);
    atexit(never);
    rg_group *group = rg_new();
    int wanted = gate_count(&running) + 1;
    CHECK_INT(rg_set_grace(group, 20), 0);
    CHECK_INT(rg_add(group, read_for_ever, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_add(group, return_when_blocked, rg_interrupt_none, &wanted), 0);
    CHECK_INT(rg_run(group), RG_ETIMEDOUT);
    printf("printed, not flushed");
    rg_exit(33);
}

static void exit_flushes(void) {
    CHECK_INT(pipe(out), 0);
    int status = in_child(exit_with_stuck_actor);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 33);
    char said[64] = "";
    close(out[1]);
    CHECK_INT(read(out[0], said, sizeof said - 1), 20);
    CHECK_STR(said, "printed, not flushed");
    close(out[0]);
}

int main(void) {
    watchdog(120);
    int before = descriptors();
    CASE(thread_names);
    CASE(stack_sizes);
    CASE(exit_in_execute);
    CASE(cancel_from_outside);
    CASE(exit_after_stop);
    CASE(exit_in_interrupt);
    CASE(descriptor_before_interrupts);
    CASE(without_streams);
    CASE(poll_retries);
    CASE(unblocked_by_shutdown);
    CASE(exit_flushes);
    CHECK_INT(descriptors(), before);
    await_threads(1);
    return finish("traps");
}
