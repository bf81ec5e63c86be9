/* "hold FD": an actor that is stuck until the pipe's other end is closed. Its own
 * descriptor, since the host may close its own as soon as the group has run. */
#ifndef HOLD_H
#define HOLD_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The descriptor, the actor's to close; -1: it is not one that holds. */
static inline int hold_descriptor(const char *argument) {
    return strncmp(argument, "hold ", 5) == 0 ? dup(atoi(argument + 5)) : -1;
}

static inline void hold(int descriptor) {
    char byte;
    while (read(descriptor, &byte, 1) < 0) {
    }
}

#endif
