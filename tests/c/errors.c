/* What is said of a refusal: rg_last_error, rg_error_name; and the helpers that make
 * one less likely. */
#include "check.h"

#include <errno.h>
#include <sys/resource.h>

static int returns_seven(void *userdata) {
    (void)userdata;
    return 7;
}

static int fails(void *userdata) {
    return rg_failf(userdata == NULL ? 3 : 4, "cannot open %s: %s", "x",
                    strerror(ENOENT));
}

#define SAYS(text)                                                                       \
    do {                                                                                 \
        if (strstr(rg_last_error(), text) == NULL)                                       \
            CHECK_STR(rg_last_error(), text);                                            \
    } while (0)

static void the_argument_is_named(void) {
    CHECK_STR(rg_last_error(), "");
    rg_group *group = rg_new();
    rg_actor actor = {0};
    CHECK_INT(rg_add_actor(group, &actor), RG_EINVAL);
    SAYS("rg_add_actor: the structure's size is 0");
    actor = (rg_actor)RG_ACTOR_INIT;
    CHECK_INT(rg_add_actor(group, &actor), RG_EINVAL);
    SAYS("interrupt");
    actor.interrupt = rg_interrupt_none;
    CHECK_INT(rg_add_actor(group, &actor), RG_EINVAL);
    SAYS("execute is NULL");
    actor.execute = returns_seven;
    actor.stack_size = 1;
    CHECK_INT(rg_add_actor(group, &actor), RG_EINVAL);
    SAYS("a stack of 1 bytes");
    actor.stack_size = 0;
    actor.name = "\xff";
    CHECK_INT(rg_add_actor(group, &actor), RG_EINVAL);
    SAYS("not UTF-8");
    CHECK_INT(rg_add_actor(group, NULL), RG_EINVAL);
    SAYS("NULL");
    CHECK_INT(rg_add_actor(NULL, &actor), RG_EINVAL);
    SAYS("the group or the completion is NULL");
    CHECK_INT(rg_set_order(group, 9), RG_EINVAL);
    SAYS("rg_set_order: 9 is no order");
    const int signals[] = {SIGKILL, SIGSEGV, 99};
    const char *said[] = {"signal 9 (SIGKILL) cannot be caught",
                          "signal 11 means a fault", "signal 99 does not exist"};
    for (int i = 0; i < 3; i++) {
        CHECK_INT(rg_add_signals(group, &signals[i], 1), RG_EINVAL);
        SAYS(said[i]);
    }
    /* What succeeds leaves it. */
    CHECK_INT(rg_add(group, returns_seven, rg_interrupt_none, NULL), 0);
    SAYS("signal 99");
    rg_free(group);
    group = rg_new();
    CHECK_INT(rg_run(group), 0);
    CHECK_INT(rg_run(group), RG_ESTATE);
    SAYS("the group is not in a state");
    rg_free(group);
}

/* However a group is run, and whichever way the actor was to be added. */
static void a_group_that_refused_an_actor_does_not_run(void) {
    for (int way = 0; way < 8; way++) {
        rg_group *group = rg_new();
        int invalid = SIGKILL;
        CHECK_INT(rg_add(group, returns_seven, rg_interrupt_none, NULL), 0);
        int refused =
            way == 0   ? rg_add(group, NULL, rg_interrupt_none, NULL)
            : way == 1 ? rg_add_named(group, "x", returns_seven, NULL, NULL)
            : way == 2 ? rg_add_actor(group, NULL)
            : way == 3 ? rg_add_signals(group, &invalid, 1)
            : way == 4 ? rg_add_async(group, "x", NULL, rg_interrupt_none, NULL, NULL)
            : way == 5 ? rg_add_signals(group, NULL, 1)
            : way == 6
                ? rg_drive_add(group, "\xff")
                : rg_add_named(group, "\xff", returns_seven, rg_interrupt_none, NULL);
        CHECK_INT(refused, RG_EINVAL);
        CHECK_INT(rg_add(group, returns_seven, rg_interrupt_none, NULL), 0);
        CHECK_INT(rg_start(group), RG_EINVAL);
        SAYS("rg_start: an actor was refused after 1 were added");
        CHECK_INT(rg_drive_begin(group), RG_EINVAL);
        CHECK_INT(rg_run(group), RG_EINVAL);
        CHECK(rg_get_cause(group) == NULL);
        CHECK_INT(rg_stop(group, 0), 0);
        CHECK_INT(rg_run(group), RG_EINVAL);
        SAYS("rg_run: an actor was refused after 1 were added: look at what adding it");
        rg_free(group);
    }
}

static void *another_thread(void *unused) {
    (void)unused;
    CHECK_STR(rg_last_error(), "");
    return NULL;
}

static void each_thread_has_its_own(void) {
    CHECK_INT(rg_stop(NULL, 0), RG_EINVAL);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, another_thread, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

static void no_descriptor(void) {
    rg_group *group = rg_new();
    struct rlimit limit, low;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 0;
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    int code = rg_stop_fd(group);
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(code, RG_ENOMEM);
    char says[128]; /* each C library has words of its own */
    snprintf(says, sizeof says, "rg_stop_fd: no file descriptor can be had: %s",
             strerror(EMFILE));
    SAYS(says);
    rg_free(group);
}

static void names_of_errors(void) {
    CHECK_STR(rg_error_name(RG_EINVAL), "RG_EINVAL");
    CHECK_STR(rg_error_name(RG_ENOTSUP), "RG_ENOTSUP");
    CHECK_STR(rg_error_name(0), "RG_OK");
    CHECK(rg_error_name(7) == NULL);
    CHECK_INT(rg_version_number(), RG_VERSION_NUMBER);
}

static void a_name_and_a_text(void) {
    rg_group *group = rg_new();
    CHECK_INT(rg_add_named(group, "opener", fails, rg_interrupt_none, NULL), 0);
    CHECK_INT(rg_run(group), 3);
    const rg_cause *cause = rg_get_cause(group);
    CHECK_STR(cause->actor, "opener");
    CHECK_STR(cause->message, "cannot open x: No such file or directory");

    char path[] = "/tmp/rungroup-errors-XXXXXX", text[4096], wanted[4096];
    int fd = mkstemp(path);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rg_print_report(group, fd), 0);
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    CHECK(length > 0);
    text[length] = '\0';
    rg_format_report(group, RG_FORMAT_TEXT, wanted, sizeof wanted);
    CHECK_STR(text, wanted);
    CHECK_INT(close(fd), 0);
    CHECK_INT(rg_print_report(group, fd), RG_EINVAL);
    SAYS("Bad file descriptor");
    CHECK_INT(rg_print_report(group, -1), RG_EINVAL);
    CHECK_INT(rg_print_report(NULL, 2), RG_EINVAL);
    rg_free(group);
}

int main(void) {
    CASE(the_argument_is_named);
    CASE(a_group_that_refused_an_actor_does_not_run);
    CASE(each_thread_has_its_own);
    CASE(no_descriptor);
    CASE(names_of_errors);
    CASE(a_name_and_a_text);
    printf("errors: %d passed\n", cases_passed);
    return 0;
}
