// Two actors wait; the third counts to three and returns: all of them end.
#include <iostream>
#include <rungroup.hpp>

using namespace std::chrono_literals;

int main() {
    rungroup::group group;
    for (const std::string name : {"first", "second"}) {
        group.add(
            name,
            [name](rungroup::stop_token stop) {
                stop.wait();
                std::cout << name + ": returned\n";
            },
            [name](const rungroup::cause &why) {
                std::cout << name + ": interrupted, code " + std::to_string(why.code) +
                                 "\n";
            });
    }
    group.add(
        "third",
        [](rungroup::stop_token stop) {
            for (int i = 1; i <= 3 && !stop.wait_for(1s); i++)
                std::cout << "third: " + std::to_string(i) + "\n";
            std::cout << "third: returned\n";
        },
        [](const rungroup::cause &why) {
            std::cout << "third: interrupted, code " + std::to_string(why.code) + "\n";
        });
    return group.run();
}
