/* 30,000 actors, and more than the machine can give. */
#include "check.h"

enum { MANY = 30000, TOO_MANY = 1 << 16 };

static gate started = GATE_INIT;

static int first(void *count) {
    gate_await(&started, *(int *)count - 1);
    return 7;
}

static int blocks(void *group) {
    gate_pass(&started);
    return until_stop(group);
}

static void footprint(size_t *mapped) {
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%zu", mapped) == 1);
    fclose(statm);
    *mapped *= (size_t)sysconf(_SC_PAGESIZE);
}

static int run(int count) {
    started = (gate)GATE_INIT;
    rg_group *group = rg_new();
    CHECK_INT(rg_add(group, first, rg_interrupt_none, &count), 0);
    for (int i = 1; i < count; i++)
        CHECK_INT(rg_add(group, blocks, rg_interrupt_none, group), 0);
    int code = rg_run(group);
    if (code != 7) {
        CHECK_INT(code, RG_ESPAWN);
        CHECK_INT(gate_count(&started), 0);
        CHECK_INT(rg_stopping(group), 0);
    }
    rg_free(group);
    await_threads(1);
    return code;
}

static void *wait_at(void *lock) {
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

/* How many threads, up to so many, can be had by hand, on small stacks. */
static int to_be_had(int count) {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16 << 10);
    int made = 0;
    while (made < count &&
           pthread_create(&threads[made], &attributes, wait_at, &lock) == 0)
        made++;
    pthread_attr_destroy(&attributes);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    await_threads(1);
    return made;
}

static void many(void) {
    if (run(MANY) == 7)
        return;
    int had = to_be_had(MANY);
    CHECK(had < MANY);
    printf("many: %d skipped: the machine has %d threads\n", MANY, had);
}

static void too_many(void) {
    int had = to_be_had(TOO_MANY);
    if (had == TOO_MANY) {
        printf("many: too many skipped: the machine has %d threads\n", TOO_MANY);
        return;
    }
    size_t before, after;
    int files = descriptors();
    footprint(&before);
    /* Other processes' threads come and go. */
    CHECK_INT(run(had + 2000), RG_ESPAWN);
    footprint(&after);
    CHECK(after < before + (64 << 20));
    CHECK_INT(descriptors(), files);
    CHECK_INT(run(100), 7);
}

int main(void) {
    watchdog(120);
    CASE(many);
    CASE(too_many);
    return finish("many");
}
