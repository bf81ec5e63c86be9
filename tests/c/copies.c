/* Two copies of the library in one process work on each other's groups: the one
 * this program is linked with, and a copy of its file. */
#include "load.h"

static library ours, copy;

/* The file that the linked library came from, in memory that is not freed. */
static unsigned char *library_file(size_t *length) {
    rg_group *(*linked)(void) = rg_new;
    void *address;
    memcpy(&address, &linked, sizeof address);
    Dl_info info;
    CHECK(dladdr(address, &info) != 0);
    if (ours.handle == NULL)
        ours = load(info.dli_fname);
    CHECK(ours.make == linked);
    FILE *from = fopen(info.dli_fname, "rb");
    CHECK(from != NULL);
    CHECK_INT(fseek(from, 0, SEEK_END), 0);
    *length = (size_t)ftell(from);
    rewind(from);
    unsigned char *bytes = malloc(*length);
    CHECK(bytes != NULL);
    CHECK_INT(fread(bytes, 1, *length, from), *length);
    fclose(from);
    return bytes;
}

static library load_bytes(const unsigned char *bytes, size_t length) {
    char path[] = "/tmp/rungroup-copy-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *to = fdopen(fd, "wb");
    CHECK(to != NULL);
    CHECK_INT(fwrite(bytes, 1, length, to), length);
    CHECK_INT(fclose(to), 0);
    library loaded = load(path);
    unlink(path);
    CHECK(loaded.make != ours.make);
    return loaded;
}

static void load_both(void) {
    size_t length;
    unsigned char *bytes = library_file(&length);
    copy = load_bytes(bytes, length);
    free(bytes);
}

static int released;

typedef struct context {
    const library *library; /* which the actor uses */
    rg_group *group;
} context;

static int fail_loudly(void *userdata) {
    const context *context = userdata;
    return context->library->fail(7, "said through the copy that added it");
}

static int wait_for_stop(void *userdata) {
    const context *context = userdata;
    CHECK_INT(context->library->wait_stop(context->group, -1), 1);
    return 0;
}

static void complain(const rg_cause *cause, void *userdata) {
    const context *context = userdata;
    CHECK_STR(cause->message, "said through the copy that added it");
    context->library->fail(1, "a complaint");
}

static void release(void *userdata) {
    (void)userdata;
    count_release(&released);
}

static rg_actor releasing(rg_execute_fn execute, rg_interrupt_fn interrupt,
                          void *userdata) {
    rg_actor actor = actor_of(NULL, execute, interrupt, userdata);
    actor.release = release;
    return actor;
}

/* One copy makes the group, the other does everything else. */
static void made_by(const library *maker, const library *user, int grace, int by_start) {
    released = 0;
    rg_group *group = maker->make();
    context with_user = {user, group}, with_maker = {maker, group};
    CHECK_INT(user->set_grace(group, grace), 0);
    rg_actor actor = releasing(fail_loudly, complain, &with_user);
    CHECK_INT(user->add_actor(group, &actor), 0);
    actor = releasing(wait_for_stop, complain, &with_maker);
    CHECK_INT(maker->add_actor(group, &actor), 0);
    actor = releasing(wait_for_stop, user->interrupt_none, &with_user);
    CHECK_INT(user->add_actor(group, &actor), 0);
    int code = 0;
    if (by_start) {
        CHECK_INT(user->start(group), 0);
        CHECK_INT(maker->wait(group, -1, &code), 1);
    } else {
        code = user->run(group);
    }
    CHECK_INT(code, 7);
    CHECK_STR(user->get_cause(group)->message, "said through the copy that added it");
    rg_actor_report report;
    memset(&report, 0, sizeof report);
    report.size = sizeof report;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(user->get_report(group, i, &report), 0);
        CHECK_STR(report.complaint, i < 2 ? "a complaint" : "");
    }
    CHECK_INT(user->run(group), RG_ESTATE);
    user->free(group);
    CHECK_INT(released, 3);
}

static void each_others_groups(void) {
    for (int by_start = 0; by_start < 2; by_start++)
        for (int grace = -1; grace < 20000; grace += 10001) {
            made_by(&ours, &copy, grace, by_start);
            made_by(&copy, &ours, grace, by_start);
        }
}

static void complete_at_once(rg_completion *done, void *userdata) {
    const context *context = userdata;
    CHECK_INT(context->library->complete(done, 7, "completed"), 0);
    CHECK_INT(context->library->complete(done, 7, "completed"), RG_ESTATE);
}

static void each_others_completions(void) {
    const library *const libraries[] = {&ours, &copy};
    for (int i = 0; i < 2; i++) {
        rg_group *group = libraries[i]->make();
        context context = {libraries[1 - i], group};
        CHECK_INT(libraries[1 - i]->add_async(group, "loop", complete_at_once,
                                              libraries[1 - i]->interrupt_none, &context,
                                              NULL),
                  0);
        CHECK_INT(libraries[i]->run(group), 7);
        CHECK_STR(libraries[1 - i]->get_cause(group)->message, "completed");
        libraries[i]->free(group);
    }
}

static int run_child(void *child) { return copy.run(child); }
static void stop_child(const rg_cause *cause, void *child) {
    ours.stop(child, cause->code);
}

/* A group of one copy in a group of the other. */
static void nested(void) {
    rg_group *child = copy.make(), *parent = ours.make();
    context in_child = {&ours, child};
    CHECK_INT(copy.add(child, wait_for_stop, ours.interrupt_none, &in_child), 0);
    CHECK_INT(copy.add(parent, run_child, stop_child, child), 0);
    CHECK_INT(ours.add(parent, return_seven, ours.interrupt_none, NULL), 0);
    CHECK_INT(copy.run(parent), 7);
    CHECK_INT(copy.get_cause(child)->code, 7);
    ours.free(child);
    copy.free(parent);
}

/* ---- both listen for one signal ------------------------------------------------ */

static int first_ends_first;

/* However they end, Ctrl-C works again. */
static void both_listen(void) {
    rg_group *first = ours.make(), *second = copy.make();
    CHECK_INT(ours.add_signals(first, NULL, 0), 0);
    CHECK_INT(copy.add_signals(second, NULL, 0), 0);
    CHECK_INT(ours.start(first), 0);
    CHECK_INT(copy.start(second), 0);
    for (int turn = 0; turn < 2; turn++) {
        rg_group *group = turn == !first_ends_first ? first : second;
        CHECK_INT(ours.stop(group, 3), 0);
        CHECK_INT(ours.wait(group, -1, NULL), 1);
        ours.free(group);
    }
    raise(SIGINT); /* kills */
}

/* Delivered to the one that came last, then to the other, then to the default. */
static void both_are_told(void) {
    rg_group *first = ours.make(), *second = copy.make();
    CHECK_INT(ours.add_signals(first, NULL, 0), 0);
    CHECK_INT(copy.add_signals(second, NULL, 0), 0);
    CHECK_INT(ours.start(first), 0);
    CHECK_INT(copy.start(second), 0);
    int code = 0;
    raise(SIGINT);
    CHECK_INT(copy.wait(second, -1, &code), 1);
    CHECK_INT(code, 128 + SIGINT);
    raise(SIGINT);
    CHECK_INT(ours.wait(first, -1, &code), 1);
    CHECK_INT(code, 128 + SIGINT);
    ours.free(first);
    copy.free(second);
    raise(SIGINT); /* kills */
}

static void signals_of_both(void) {
    void (*const children[])(void) = {both_listen, both_are_told};
    for (int child = 0; child < 2; child++)
        for (first_ends_first = 0; first_ends_first < 2; first_ends_first++) {
            int status = in_child(children[child]);
            CHECK(WIFSIGNALED(status));
            CHECK_INT(WTERMSIG(status), SIGINT);
        }
}

/* A copy whose table says that it has another ABI: each refuses the other's
 * groups, with a sentence, and both go on. */
static void another_abi(void) {
    size_t length;
    unsigned char *bytes = library_file(&length);
    int patched = 0;
    for (size_t i = 0; i + 16 <= length; i += 4) {
        uint32_t numbers[2]; /* after the magic: the ABI and the table's size */
        memcpy(numbers, bytes + i + 8, sizeof numbers);
        if (memcmp(bytes + i, "rungroup", 8) == 0 && numbers[0] == 0 &&
            numbers[1] % sizeof(void *) == 0 && numbers[1] < 1024) {
            numbers[0] = 7;
            memcpy(bytes + i + 8, numbers, sizeof numbers);
            patched++;
        }
    }
    CHECK_INT(patched, 1);
    library other = load_bytes(bytes, length);
    free(bytes);
    rg_group *theirs = other.make();
    rg_group *own = ours.make();
    context context = {&ours, own};
    rg_actor actor = releasing(fail_loudly, ours.interrupt_none, &context);
    CHECK_INT(ours.add_actor(theirs, &actor), RG_EABI);
    CHECK_INT(ours.run(theirs), RG_EABI);
    CHECK_INT(ours.stop(theirs, 1), RG_EABI);
    ours.free(theirs); /* a no-op: it is not ours to free */
    /* It knows its own groups by the address of its table. */
    CHECK_INT(other.run(theirs), 0);
    other.free(theirs);
    CHECK(strstr(rg_strerror(RG_EABI), "version") != NULL);
    CHECK_INT(ours.add_actor(own, &actor), 0);
    CHECK_INT(ours.run(own), 7);
    ours.free(own);
}

int main(void) {
    watchdog(60);
    load_both();
    CASE(each_others_groups);
    CASE(each_others_completions);
    CASE(nested);
    CASE(another_abi);
    CASE(signals_of_both);
    await_threads(1);
    return finish("copies");
}
