// A function written for std::jthread takes a std::stop_token: it is an actor unchanged.
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <rungroup.hpp>
#include <stop_token>

void serve(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    std::cout << "serving" << std::endl;
    stopped.wait(lock, stop, [] { return false; });
}

int main() {
    rungroup::group group;
    group.add("serve", serve); // before: std::jthread thread(serve);
    group.add_signals();
    return group.run();
}
