/* What a plugin of these examples has, in whatever language it is written. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <rungroup.h>

/* Adds the plugin's actors to the host's group, which has not been run.
 * argument: the plugin's own settings, valid during the call. Returns 0, or an
 * error of rungroup's: then the host does not run the group. */
typedef int (*plugin_join_fn)(rg_group *group, const char *argument);
#define PLUGIN_JOIN "plugin_join"

#endif
