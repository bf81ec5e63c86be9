#include "two_files.hpp"
#include "check.hpp"
#include <rungroup.hpp>
#include <stdexcept>

namespace {

struct thrown {};

void one_group_from_two_files() {
    rungroup::group group;
    add_from_the_other_file(group);
    group.add(
        "this file", [] { throw thrown(); }, [] {});
    CHECK_THROWS(thrown, run_in_the_other_file(group));
    CHECK_THROWS(std::logic_error,
                 std::rethrow_exception(group.report().actors[0].exception));
}

} // namespace

int main() {
    return check::run("two_files",
                      {{"one_group_from_two_files", one_group_from_two_files}});
}
