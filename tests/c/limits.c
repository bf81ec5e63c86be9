/* Limits of the kernel's that are reached: address space, data, descriptors and,
 * where it can be had, a cgroup's memory. Errors, never a hang; and as before when
 * the limit is gone. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int released;

static rg_group *make_group(int actors) {
    released = 0;
    rg_group *group = rg_new();
    int signal = SIGUSR1;
    CHECK_INT(rg_set_grace(group, 60000), 0);
    CHECK_INT(rg_add_signals(group, &signal, 1), 0);
    for (int i = 0; i < actors; i++) {
        rg_actor actor;
        memset(&actor, 0, sizeof actor);
        actor.size = sizeof actor;
        actor.execute = i == 0 ? return_seven : until_stop;
        actor.interrupt = rg_interrupt_none;
        actor.userdata = i == 0 ? (void *)&released : (void *)group;
        CHECK_INT(rg_add_actor(group, &actor), 0);
    }
    return group;
}

static size_t mapped(void) {
    size_t pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu", &pages) == 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int resource;

/* From too little for one stack to enough for all: refused, then run. */
static void space(void) {
    int refused = 0, ran = 0;
    struct rlimit limit;
    CHECK_INT(getrlimit(resource, &limit), 0);
    for (size_t mib = 1; mib < 90; mib += 4) {
        rg_group *group = make_group(6);
        struct rlimit low = limit;
        low.rlim_cur = mapped() + (mib << 20);
        CHECK_INT(setrlimit(resource, &low), 0);
        int code = rg_run(group);
        CHECK_INT(setrlimit(resource, &limit), 0);
        CHECK(code == 7 || code == RG_ESPAWN || code == RG_ENOMEM);
        refused += code != 7;
        ran += code == 7;
        if (code != 7)
            CHECK_INT(rg_run(group), 7);
        rg_free(group);
        await_threads(1);
    }
    CHECK(refused > 0 && ran > 0);
}

static void address_space(void) {
    resource = RLIMIT_AS;
    check_in_child(space);
}

static void data(void) {
    resource = RLIMIT_DATA;
    check_in_child(space);
}

/* From no descriptor to enough, for who asks for one: a run itself needs none. */
static void descriptors_run_out(void) {
    struct rlimit limit, low;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(0), refused = 0, ran = 0;
    CHECK_INT(close(lowest), 0);
    for (int more = 0; more < 6; more++) {
        low = limit;
        /* The group has one more than was free, for its signals. */
        low.rlim_cur = (rlim_t)(lowest + more);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
        int signal = SIGUSR1;
        rg_group *group = rg_new();
        CHECK_INT(rg_set_grace(group, 60000), 0);
        CHECK_INT(rg_add(group, return_seven, rg_interrupt_none, NULL), 0);
        CHECK_INT(rg_add(group, until_stop, rg_interrupt_none, group), 0);
        /* A signal actor has its descriptor from here on: the run needs none. */
        int added = rg_add_signals(group, &signal, 1), code = 0;
        CHECK(added == 0 || added == RG_ENOMEM);
        CHECK_INT(rg_actor_count(group), added == 0 ? 3 : 2);
        CHECK_INT(rg_start(group), 0);
        int fd = rg_done_fd(group);
        CHECK(fd >= 0 || fd == RG_ENOMEM);
        CHECK_INT(rg_wait(group, -1, &code), 1);
        CHECK_INT(code, 7);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
        CHECK(rg_done_fd(group) >= 0);
        refused += added != 0;
        ran += added == 0 && fd >= 0;
        rg_free(group);
        await_threads(1);
    }
    CHECK(refused > 0 && ran > 0);
}

static void no_descriptors(void) { check_in_child(descriptors_run_out); }

/* ---- a cgroup ------------------------------------------------------------------ */

static int put(const char *folder, const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t written = write(fd, text, strlen(text));
    close(fd);
    return written == (ssize_t)strlen(text);
}

static const char *cgroup;

/* Stacks are mapped and not used: a limit on memory does not keep 200 from it. */
static void little_memory(void) {
    char self[32];
    snprintf(self, sizeof self, "%ld", (long)getpid());
    if (!put(cgroup, "cgroup.procs", self))
        _exit(77);
    for (int round = 0; round < 20; round++) {
        rg_group *group = make_group(200);
        CHECK_INT(rg_run(group), 7);
        rg_free(group);
    }
}

static void cgroup_memory(void) {
    static const struct {
        const char *folder, *limit;
    } places[] = {{"/sys/fs/cgroup/rungroup-limits", "memory.max"},
                  {"/sys/fs/cgroup/memory/rungroup-limits", "memory.limit_in_bytes"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        cgroup = places[i].folder;
        if (mkdir(cgroup, 0755) != 0)
            continue;
        int status = 77 << 8;
        if (put(cgroup, places[i].limit, "33554432"))
            status = in_child(little_memory);
        rmdir(cgroup);
        CHECK(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
            continue;
        CHECK_INT(WEXITSTATUS(status), 0);
        return;
    }
    printf("limits: memory of a cgroup skipped: none can be made here\n");
}

int main(void) {
    watchdog(120);
    CASE(address_space);
    CASE(data);
    CASE(no_descriptors);
    CASE(cgroup_memory);
    return finish("limits");
}
