/* A leak: a group that nobody frees. */
#include "rungroup.h"

int main(void) {
    rg_group *volatile group = rg_new();
    group = NULL;
    return group != NULL;
}
