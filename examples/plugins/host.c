/* A host in C: runs the actors that plugins bring, in one group with its own.
 *
 *     host PLUGIN.so ARGUMENT [PLUGIN.so ARGUMENT ...]
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* The host's own component: says now and then that all is well. */
static int beat(void *group) {
    int beats = 0;
    while (rg_wait_stop(group, 1000) == 0)
        printf("host: beat %d\n", ++beats);
    return 0;
}

/* Loads a plugin, for good, and lets it add its actors. */
static int load(rg_group *group, const char *path, const char *argument) {
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        return RG_EINVAL;
    }
    void *address = dlsym(plugin, PLUGIN_JOIN);
    if (address == NULL) {
        fprintf(stderr, "host: %s has no %s\n", path, PLUGIN_JOIN);
        return RG_EINVAL;
    }
    plugin_join_fn join;
    memcpy(&join, &address, sizeof join); /* ISO C has no cast for it */
    return join(group, argument);
}

static void print_report(const rg_group *group) {
    size_t length = rg_format_report(group, RG_FORMAT_TEXT, NULL, 0);
    char *text = malloc(length + 1);
    if (text != NULL) {
        rg_format_report(group, RG_FORMAT_TEXT, text, length + 1);
        fputs(text, stdout);
    }
    free(text);
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    rg_group *group = rg_new();
    rg_actor heart = {.size = sizeof heart,
                      .name = "heart (C)",
                      .execute = beat,
                      .interrupt = rg_interrupt_none,
                      .userdata = group};
    rg_set_grace(group, 5000);
    int error = rg_add_actor(group, &heart);
    for (int i = 1; error == 0 && i + 1 < count; i += 2)
        error = load(group, arguments[i], arguments[i + 1]);
    /* Last, and so in staged order the first to be interrupted. */
    if (error == 0)
        error = rg_set_order(group, RG_ORDER_STAGED);
    if (error == 0)
        error = rg_add_signals(group, NULL, 0);
    if (error != 0) {
        fprintf(stderr, "host: %s\n", rg_strerror(error));
        rg_free(group);
        return 1;
    }
    int result = rg_run(group);
    print_report(group);
    const rg_cause *cause = rg_get_cause(group);
    int code = cause != NULL ? cause->code : result;
    if (result == RG_ETIMEDOUT)
        rg_exit(code); /* a stuck actor still uses what exit would destroy */
    rg_free(group);
    return code;
}
