#include "two_files.hpp"
#include <stdexcept>

void add_from_the_other_file(rungroup::group &group) {
    group.add("other file", [](rungroup::stop_token stop) {
        stop.wait();
        throw std::logic_error("later");
    });
}

int run_in_the_other_file(rungroup::group &group) { return group.run(); }
