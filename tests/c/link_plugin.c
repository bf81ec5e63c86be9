/* A plugin with a copy of the library of its own, linked from the archive; see
 * link_reload.c. */
#include <rungroup.h>

static int end(void *userdata) {
    (void)userdata;
    return 7;
}

static int until_stop(void *group) {
    rg_wait_stop((const rg_group *)group, -1);
    return 0;
}

int plugin_run(void);
int plugin_run(void) {
    rg_group *group = rg_new();
    if (group == NULL)
        return RG_ENOMEM;
    int signal = 10; /* SIGUSR1 */
    int code = rg_add(group, until_stop, rg_interrupt_none, group);
    if (code == 0)
        code = rg_add(group, end, rg_interrupt_none, NULL);
    if (code == 0)
        code = rg_add_signals(group, &signal, 1);
    if (code == 0)
        code = rg_run(group);
    rg_free(group);
    return code;
}
