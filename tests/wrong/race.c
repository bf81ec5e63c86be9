/* A race: two actors write at the same time. */
#include "rungroup.h"
#include <pthread.h>

static pthread_barrier_t together;
static int written;

static int write_it(void *unused) {
    (void)unused;
    pthread_barrier_wait(&together);
    written++;
    return 0;
}

int main(void) {
    rg_group *group = rg_new();
    pthread_barrier_init(&together, NULL, 2);
    int failed = rg_add(group, write_it, rg_interrupt_none, NULL) ||
                 rg_add(group, write_it, rg_interrupt_none, NULL) || rg_run(group);
    rg_free(group);
    return failed;
}
