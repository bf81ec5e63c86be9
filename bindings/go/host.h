#include <stdint.h>
#include <stdlib.h>

#include "rungroup.h"

// Adds an actor whose Go side is behind the handle.
int go_host_add(rg_group *group, const char *name, uintptr_t handle);
