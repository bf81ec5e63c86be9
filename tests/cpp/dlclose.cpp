// dlopen, run, dlclose while an actor is stuck in the library, then let it go.
// Usage: dlclose path/of/librungroup.so
#include "check.hpp"
#include <dlfcn.h>
#include <rungroup.h>

namespace {

const char *library;
check::gate end;
check::gate left;

template <class Function> Function *function(void *opened, const char *name) {
    return reinterpret_cast<Function *>(dlsym(opened, name));
}

int stuck(void *) {
    end.wait();
    left.open();
    return 1;
}

int returns(void *) { return 3; }

void with_a_stuck_actor() {
    void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    CHECK(opened != nullptr);
    if (opened == nullptr)
        return;
    const auto add = function<decltype(rg_add)>(opened, "rg_add");
    const auto none = function<decltype(rg_interrupt_none)>(opened, "rg_interrupt_none");
    rg_group *group = function<decltype(rg_new)>(opened, "rg_new")();
    CHECK(function<decltype(rg_set_grace)>(opened, "rg_set_grace")(group, 50) == 0);
    CHECK(add(group, stuck, none, nullptr) == 0);
    CHECK(add(group, returns, none, nullptr) == 0);
    CHECK(function<decltype(rg_run)>(opened, "rg_run")(group) == RG_ETIMEDOUT);
    function<decltype(rg_free)>(opened, "rg_free")(group);
    CHECK(dlclose(opened) == 0);
    end.open(); // its thread goes on in the library's code
    left.wait();
}

} // namespace

int main(int, char **argv) {
    library = argv[1];
    return check::run("dlclose", {{"with_a_stuck_actor", with_a_stuck_actor}});
}
