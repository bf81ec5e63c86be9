// A test's actor in C++: what it does is its argument. See mixed.c. Its execute runs
// a group of its own, which its interrupt stops.
#include "hold.h"

#include <memory>
#include <rungroup.hpp>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

struct probe {
    rungroup::group child;
    std::string does;
    std::string heard;
    int held;

    explicit probe(const char *argument)
        : does(argument), held(hold_descriptor(argument)) {
        child.add("waits", [](rungroup::stop_token stop) { stop.wait(); });
        child.add("does", [this](rungroup::stop_token stop) {
            if (does == "return")
                return 3;
            if (does == "fail")
                throw std::runtime_error("said in C++");
            stop.wait();
            return 0;
        });
    }
    probe(const probe &) = delete;
    probe &operator=(const probe &) = delete;
    ~probe() {
        if (held >= 0)
            close(held);
    }
};

int execute(void *userdata) {
    probe &self = *static_cast<probe *>(userdata);
    while (self.does == "stick")
        pause();
    if (self.held >= 0) {
        hold(self.held);
        return 0;
    }
    try {
        const int code = self.child.run();
        return self.does == "echo" ? rg_fail(5, self.heard.c_str()) : code;
    } catch (const std::runtime_error &error) {
        return rg_fail(4, error.what());
    }
}

void interrupt(const rg_cause *cause, void *userdata) {
    probe &self = *static_cast<probe *>(userdata);
    self.heard = cause->message;
    self.child.stop(0);
}

void release(void *userdata) { delete static_cast<probe *>(userdata); }

} // namespace

extern "C" int plugin_join(rg_group *group, const char *argument) {
    auto made = std::make_unique<probe>(argument);
    rg_actor actor{};
    actor.size = sizeof actor;
    actor.name = "C++";
    actor.execute = execute;
    actor.interrupt = interrupt;
    actor.userdata = made.get();
    actor.release = release;
    const int error = rg_add_actor(group, &actor);
    if (error == RG_OK)
        made.release();
    return error;
}
