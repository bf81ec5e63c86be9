// An actor that is an Asio io_context, which its interrupt stops: Asio keeps a stop()
// that comes before run(). Asio's signal_set is not needed. Ends on SIGINT and SIGTERM.
#include <asio.hpp>
#include <chrono>
#include <functional>
#include <iostream>
#include <rungroup.hpp>

int main() {
    asio::io_context loop;
    asio::steady_timer timer(loop);
    std::function<void(std::error_code)> tick = [&](std::error_code failed) {
        if (failed)
            return;
        std::cout << "tick" << std::endl;
        timer.expires_after(std::chrono::seconds(1));
        timer.async_wait(tick);
    };
    timer.expires_after(std::chrono::seconds(0));
    timer.async_wait(tick);

    rungroup::group group;
    group.add(
        "loop", [&] { loop.run(); }, [&] { loop.stop(); });
    group.add_signals();
    int code = group.run();
    std::cerr << group.report();
    return code;
}
