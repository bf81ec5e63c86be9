/* rungroup, and the same by hand. */
#define _GNU_SOURCE
#include "cycle.h"

#include <rungroup.h>

static int first(void *group) {
    (void)group;
    await_start();
    return 7;
}

static int blocks(void *group) {
    note_start();
    rg_wait_stop(group, -1);
    return 0;
}

static void rungroup(void) {
    rg_group *group = rg_new();
    for (int i = 0; i < actors; i++)
        check(rg_add(group, i == 0 ? first : blocks, rg_interrupt_none, group) == 0,
              "rg_add");
    check(rg_run(group) == 7, "rg_run");
    ended_at = now_ns();
    rg_free(group);
}

/* ---- by hand -------------------------------------------------------------------------
 */

typedef struct crew {
    pthread_mutex_t lock;
    pthread_cond_t stopped, returned;
    int stopping, has_returned, code;
} crew;

static void *hand_first(void *argument) {
    crew *crew = argument;
    await_start();
    pthread_mutex_lock(&crew->lock);
    crew->has_returned = 1;
    crew->code = 7;
    pthread_cond_signal(&crew->returned);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void *hand_blocks(void *argument) {
    crew *crew = argument;
    note_start();
    pthread_mutex_lock(&crew->lock);
    while (!crew->stopping)
        pthread_cond_wait(&crew->stopped, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void by_hand(size_t stack_size) {
    crew crew = {.lock = PTHREAD_MUTEX_INITIALIZER,
                 .stopped = PTHREAD_COND_INITIALIZER,
                 .returned = PTHREAD_COND_INITIALIZER};
    pthread_t *threads = malloc((size_t)actors * sizeof *threads);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_size);
    for (int i = 0; i < actors; i++)
        check(pthread_create(&threads[i], &attributes, i == 0 ? hand_first : hand_blocks,
                             &crew) == 0,
              "pthread_create");
    pthread_attr_destroy(&attributes);

    pthread_mutex_lock(&crew.lock);
    while (!crew.has_returned)
        pthread_cond_wait(&crew.returned, &crew.lock);
    crew.stopping = 1;
    pthread_cond_broadcast(&crew.stopped);
    pthread_mutex_unlock(&crew.lock);
    for (int i = 0; i < actors; i++)
        pthread_join(threads[i], NULL);
    check(crew.code == 7, "the code");
    ended_at = now_ns();
    free(threads);
}

static void hand_64k(void) { by_hand(64 << 10); }
static void hand_8m(void) { by_hand(8 << 20); }

int main(int count, char **arguments) {
    static const system_entry systems[] = {{"rungroup", rungroup},
                                           {"pthread-64K", hand_64k},
                                           {"pthread-8M", hand_8m},
                                           {NULL, NULL}};
    return cycle_main(systems, count, arguments);
}
