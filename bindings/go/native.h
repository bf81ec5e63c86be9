#pragma once

#include <stdint.h>
#include <stdlib.h>

#include "rungroup.h"

// See callbacks.c.
int go_observe_group(rg_group *group, uintptr_t handle);
int go_host_add(rg_group *group, const char *name, uintptr_t handle);
