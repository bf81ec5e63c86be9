/* A test's actor in C: what it does is its argument. See mixed.c. */
#include <rungroup.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct probe {
    rg_group *group;
    char does[64];
} probe;

static int execute(void *userdata) {
    const probe *self = userdata;
    if (strcmp(self->does, "return") == 0)
        return 3;
    if (strcmp(self->does, "fail") == 0)
        return rg_fail(4, "said in C");
    while (strcmp(self->does, "stick") == 0)
        pause();
    rg_wait_stop(self->group, -1);
    return 0;
}

int plugin_join(rg_group *group, const char *argument);

int plugin_join(rg_group *group, const char *argument) {
    probe *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RG_ENOMEM;
    self->group = group;
    strncpy(self->does, argument, sizeof self->does - 1);
    rg_actor actor = {.size = sizeof actor,
                      .name = "C",
                      .execute = execute,
                      .interrupt = rg_interrupt_none,
                      .userdata = self,
                      .release = free};
    int error = rg_add_actor(group, &actor);
    if (error != 0)
        free(self);
    return error;
}
