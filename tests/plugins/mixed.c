/* One group, actors of several languages: an actor of each is the first to
 * return, the first to fail, stuck; the order holds across them; and nothing
 * is left after many runs.
 *
 *     mixed CYCLES PLUGIN.so...
 */
#include "../c/check.h"

#include <dlfcn.h>

enum { MOST = 8 };
typedef int (*join_fn)(rg_group *, const char *);

static join_fn joins[MOST];
static int languages;
static int cycles;

static void load(const char *path) {
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin != NULL && languages < MOST);
    void *address = dlsym(plugin, "plugin_join");
    CHECK(address != NULL);
    memcpy(&joins[languages++], &address, sizeof address);
}

/* An actor of each language: that one does something, the others wait. */
static rg_group *group_of(int who, const char *does) {
    rg_group *group = rg_new();
    for (int i = 0; i < languages; i++)
        CHECK_INT(joins[i](group, i == who ? does : "wait"), 0);
    return group;
}

static void each_is_the_first_to_return(void) {
    for (int who = 0; who < languages; who++) {
        rg_group *group = group_of(who, "return");
        CHECK_INT(rg_run(group), 3);
        CHECK_INT(rg_get_cause(group)->index, who);
        CHECK_STR(rg_get_cause(group)->actor, report_of(group, (size_t)who).name);
        rg_free(group);
    }
}

/* The text crosses, whatever language said it. */
static void each_is_the_first_to_fail(void) {
    for (int who = 0; who < languages; who++) {
        rg_group *group = group_of(who, "fail");
        CHECK(rg_run(group) > 0);
        char said[64];
        snprintf(said, sizeof said, "said in %s", rg_get_cause(group)->actor);
        CHECK_STR(rg_get_cause(group)->message, said);
        rg_free(group);
    }
}

static void order_holds(int order, int forwards) {
    rg_group *group = group_of(languages / 2, "return");
    CHECK_INT(rg_set_order(group, order), 0);
    CHECK_INT(rg_run(group), 3);
    for (size_t i = 1; i < (size_t)languages; i++) {
        rg_actor_report before = report_of(group, forwards ? i - 1 : i),
                        after = report_of(group, forwards ? i : i - 1);
        CHECK(before.interrupted_ns <= after.interrupting_ns);
        if (order == RG_ORDER_STAGED)
            CHECK(before.returned_ns <= after.interrupting_ns);
    }
    rg_free(group);
}

static void orders_hold_across_languages(void) {
    order_holds(RG_ORDER_ADDED, 1);
    order_holds(RG_ORDER_REVERSE, 0);
    order_holds(RG_ORDER_STAGED, 0);
}

static void many_times(void) {
    for (int i = 0; i < cycles; i++) {
        rg_group *group = group_of(i % languages, i / languages % 2 ? "return" : "fail");
        if (i % 3 == 0)
            CHECK_INT(rg_set_grace(group, 60000), 0);
        CHECK_INT(rg_set_order(group, i / 2 % 3), 0);
        CHECK(rg_run(group) > 0);
        CHECK_INT(rg_get_cause(group)->index, i % languages);
        rg_free(group);
    }
}

static long resident_kib(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%*d %ld", &pages) == 1);
    fclose(statm);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void nothing_is_left(void) {
    many_times(); /* what is kept, is kept by now */
    int fds = descriptors();
    long resident = resident_kib();
    many_times();
    CHECK(descriptors() <= fds + 4); /* a runtime's own, once; not one a cycle */
    long grown = resident_kib() - resident;
    printf("mixed: %d cycles, %ld KiB more\n", 2 * cycles, grown);
    CHECK(grown < 16 * 1024); /* a garbage collector's whim, not a leak a cycle */
}

/* Last, since they are stuck for good. */
static void each_is_stuck(void) {
    for (int who = 0; who < languages; who++) {
        rg_group *group = group_of(who, "stick");
        CHECK_INT(rg_set_grace(group, 100), 0);
        CHECK_INT(rg_start(group), 0);
        CHECK_INT(rg_stop(group, 9), 0);
        int code = 0;
        CHECK_INT(rg_wait(group, -1, &code), 1);
        CHECK_INT(code, RG_ETIMEDOUT);
        for (int i = 0; i < languages; i++)
            CHECK_INT(report_of(group, (size_t)i).stuck, i == who ? RG_STUCK_EXECUTE : 0);
        rg_free(group);
    }
}

int main(int count, char **arguments) {
    watchdog(300);
    CHECK(count > 2);
    cycles = atoi(arguments[1]);
    for (int i = 2; i < count; i++)
        load(arguments[i]);
    CASE(each_is_the_first_to_return);
    CASE(each_is_the_first_to_fail);
    CASE(orders_hold_across_languages);
    CASE(nothing_is_left);
    CASE(each_is_stuck);
    rg_exit(finish("mixed")); /* stuck actors still use what exit would destroy */
    return 1;
}
