/* A test's actor in C: what it does is its argument. See mixed.c. */
#include "hold.h"

#include <rungroup.h>
#include <semaphore.h>

typedef struct probe {
    rg_group *group;
    char does[64];
    char heard[64]; /* by the interrupt, then told */
    sem_t told;
    int held; /* a descriptor, or -1 */
} probe;

static void interrupt(const rg_cause *cause, void *userdata) {
    probe *self = userdata;
    strncpy(self->heard, cause->message, sizeof self->heard - 1);
    sem_post(&self->told);
}

static int execute(void *userdata) {
    probe *self = userdata;
    if (strcmp(self->does, "return") == 0)
        return 3;
    if (strcmp(self->does, "fail") == 0)
        return rg_fail(4, "said in C");
    while (strcmp(self->does, "stick") == 0)
        pause();
    if (self->held >= 0) {
        hold(self->held);
        return 0;
    }
    rg_wait_stop(self->group, -1);
    if (strcmp(self->does, "echo") != 0)
        return 0;
    sem_wait(&self->told);
    return rg_fail(5, self->heard);
}

static void release(void *userdata) {
    probe *self = userdata;
    if (self->held >= 0)
        close(self->held);
    sem_destroy(&self->told);
    free(self);
}

int plugin_join(rg_group *group, const char *argument);

int plugin_join(rg_group *group, const char *argument) {
    probe *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RG_ENOMEM;
    self->group = group;
    self->held = hold_descriptor(argument);
    sem_init(&self->told, 0, 0);
    strncpy(self->does, argument, sizeof self->does - 1);
    rg_actor actor = {.size = sizeof actor,
                      .name = "C",
                      .execute = execute,
                      .interrupt = interrupt,
                      .userdata = self,
                      .release = release};
    int error = rg_add_actor(group, &actor);
    if (error != 0)
        release(self);
    return error;
}
