/* The systemd actor, told against a real socket. */
#include "check.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char folder[] = "/tmp/rungroup-systemd-XXXXXX";
static gate ready = GATE_INIT;

/* A manager's socket; its name goes into the environment. "@": without a path. */
static int manager(const char *kind) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[sizeof address.sun_path];
    if (*kind == '@')
        snprintf(name, sizeof name, "@rungroup-test-%d", (int)getpid());
    else
        snprintf(name, sizeof name, "%s/notify", folder);
    socklen_t length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    memcpy(address.sun_path, name, strlen(name) + 1);
    if (*kind == '@') {
        address.sun_path[0] = '\0';
        length--; /* every byte counts there, and the NUL is none of the name's */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, length), 0);
    CHECK_INT(setenv("NOTIFY_SOCKET", name, 1), 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return fd;
}

static void no_manager(int fd) {
    close(fd);
    const char *name = getenv("NOTIFY_SOCKET");
    if (*name == '/')
        unlink(name);
    unsetenv("NOTIFY_SOCKET");
}

static const char *told(int fd) {
    static char text[4096];
    ssize_t length = recv(fd, text, sizeof text - 1, 0);
    CHECK(length >= 0);
    text[length] = '\0';
    return text;
}

static int fail_when_ready(void *userdata) {
    gate_await(&ready, *(int *)userdata);
    return rg_fail(9, "disk full:\nno space left");
}

/* READY comes while all run, STOPPING with the cause, and nothing else. */
static void ready_and_stopping(const char *kind) {
    int fd = manager(kind), passes = ready.count + 1;
    rg_group *group = rg_new();
    CHECK_INT(rg_add_systemd(group), 0);
    rg_actor actor = {.size = sizeof actor,
                      .name = "writer",
                      .execute = fail_when_ready,
                      .interrupt = rg_interrupt_none,
                      .userdata = &passes};
    CHECK_INT(rg_add_actor(group, &actor), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_STR(told(fd), "READY=1");
    gate_pass(&ready);
    CHECK_STR(told(fd), "STOPPING=1\nSTATUS=ended by \"writer\" with code 9 (disk full: "
                        "no space left)");
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 9);
    rg_actor_report report = {.size = sizeof report};
    CHECK_INT(rg_get_report(group, 0, &report), 0);
    CHECK_STR(report.name, "systemd");
    CHECK_INT(report.code, 0);
    CHECK_INT(recv(fd, &code, sizeof code, MSG_DONTWAIT), -1);
    rg_free(group);
    no_manager(fd);
}

static void by_path(void) { ready_and_stopping("/"); }
static void by_abstract_name(void) { ready_and_stopping("@"); }

static void watchdog_until_the_stop(void) {
    int fd = manager("/");
    setenv("WATCHDOG_USEC", "2000", 1);
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    rg_group *group = rg_new();
    CHECK_INT(rg_add_systemd(group), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_STR(told(fd), "READY=1");
    for (int i = 0; i < 20; i++)
        CHECK_STR(told(fd), "WATCHDOG=1");
    rg_stop(group, 0);
    const char *last;
    while (strcmp(last = told(fd), "WATCHDOG=1") == 0)
        ;
    CHECK_STR(last, "STOPPING=1\nSTATUS=stopped from outside with code 0");
    CHECK_INT(rg_wait(group, -1, NULL), 1);
    rg_free(group);
    no_manager(fd);
}

static int pause_a_little(void *group) { return rg_wait_stop(group, 30); }

/* A child inherits the variable, which is not meant for it. */
static void watchdog_of_another_process(void) {
    int fd = manager("/");
    setenv("WATCHDOG_USEC", "2000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    rg_group *group = rg_new();
    CHECK_INT(rg_add_systemd(group), 0);
    CHECK_INT(rg_add(group, pause_a_little, rg_interrupt_none, group), 0);
    CHECK_INT(rg_run(group), 0);
    CHECK_STR(told(fd), "READY=1");
    CHECK(strncmp(told(fd), "STOPPING=1\n", 11) == 0);
    rg_free(group);
    no_manager(fd);
}

static void nobody_to_tell(void) {
    unsetenv("NOTIFY_SOCKET");
    rg_group *group = rg_new();
    CHECK_INT(rg_add_systemd(group), 0);
    CHECK_INT(rg_start(group), 0);
    CHECK_INT(rg_wait(group, 20, NULL), 0);
    rg_stop(group, 4);
    int code = 0;
    CHECK_INT(rg_wait(group, -1, &code), 1);
    CHECK_INT(code, 4);
    rg_free(group);
}

/* Nobody there, or not a name: the group ends, and says so. */
static void cannot_be_told(void) {
    const char *const names[] = {"/nonexistent/notify", "notify", "vsock:2:1234"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        rg_group *group = rg_new();
        CHECK_INT(rg_add_systemd(group), 0);
        CHECK_INT(rg_run(group), 1);
        const rg_cause *cause = rg_get_cause(group);
        CHECK_STR(cause->actor, "systemd");
        CHECK(strstr(cause->message, names[i]) != NULL);
        rg_free(group);
    }
    unsetenv("NOTIFY_SOCKET");
}

/* A manager that does not read holds up neither the run nor the stop. */
static void does_not_read(void) {
    int fd = manager("/");
    setenv("WATCHDOG_USEC", "2", 1);
    rg_group *group = rg_new();
    CHECK_INT(rg_add_systemd(group), 0);
    CHECK_INT(rg_add(group, pause_a_little, rg_interrupt_none, group), 0);
    CHECK_INT(rg_set_grace(group, 20000), 0);
    CHECK_INT(rg_run(group), 0);
    rg_free(group);
    no_manager(fd);
}

int main(void) {
    watchdog(60);
    CHECK(mkdtemp(folder) != NULL);
    CASE(by_path);
    CASE(by_abstract_name);
    CASE(watchdog_until_the_stop);
    CASE(watchdog_of_another_process);
    CASE(nobody_to_tell);
    CASE(cannot_be_told);
    CASE(does_not_read);
    rmdir(folder);
    return finish("systemd");
}
