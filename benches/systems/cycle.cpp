// rungroup.hpp, and std::jthread with a stop token.
#include "cycle.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <rungroup.hpp>
#include <thread>
#include <vector>

static void with_rungroup() {
    rungroup::group group;
    auto stop = group.get_stop_token();
    for (int i = 0; i < actors; i++)
        group.add(
            "",
            [i, stop] {
                if (i == 0) {
                    await_start();
                    return 7;
                }
                note_start();
                stop.wait();
                return 0;
            },
            [](const rungroup::cause &) {});
    check(group.run() == 7, "run");
    ended_at = now_ns();
}

static void with_jthread() {
    std::mutex lock;
    std::condition_variable returned;
    bool has_returned = false;
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(actors));
    for (int i = 0; i < actors; i++) {
        if (i == 0) {
            threads.emplace_back([&] {
                await_start();
                std::lock_guard hold(lock);
                has_returned = true;
                returned.notify_one();
            });
        } else {
            threads.emplace_back([](std::stop_token stop) {
                note_start();
                // An int is a futex of its own. Others share a few, whose waiters
                // all wake for each notification.
                std::atomic<int> stopped = 0;
                std::stop_callback wake(stop, [&] {
                    stopped = 1;
                    stopped.notify_one();
                });
                stopped.wait(0);
            });
        }
    }
    {
        std::unique_lock hold(lock);
        returned.wait(hold, [&] { return has_returned; });
    }
    for (auto &thread : threads)
        thread.request_stop();
    for (auto &thread : threads)
        thread.join();
    ended_at = now_ns();
}

int main(int count, char **arguments) {
    static const system_entry systems[] = {
        {"rungroup", with_rungroup}, {"std::jthread", with_jthread}, {nullptr, nullptr}};
    return cycle_main(systems, count, arguments);
}
