/* A use after free, inside of the library. */
#include "rungroup.h"

int main(void) {
    rg_group *group = rg_new();
    rg_free(group);
    return rg_stopping(group);
}
