// Four components that live and die together: a state machine, an HTTP server
// that shows its state, a cron job that reads it, and a signal listener.
//
//     ./four_actors [port]       8080 if not given; 0: any that is free
//     curl localhost:8080/       the state
//     curl localhost:8080/slow   takes two seconds: try Ctrl-C meanwhile
//     curl localhost:8080/hang   takes longer than the grace: Ctrl-C, and the
//                                report says who is stuck
#include <atomic>
#include <condition_variable>
#include <httplib.h>
#include <iostream>
#include <rungroup.hpp>

using namespace std::chrono_literals;

namespace {

void say(const std::string &line) { std::cout << line + "\n" << std::flush; }

/** The state machine: a traffic light. It has a way of its own to be stopped. */
class light {
  public:
    void run() {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!quit_.wait_for(lock, 400ms, [this] { return quitting_; }))
            step_++;
    }

    void quit() {
        const std::lock_guard<std::mutex> lock(mutex_);
        quitting_ = true;
        quit_.notify_one();
    }

    std::string describe() {
        const char *const lights[] = {"red", "green", "yellow"};
        const std::lock_guard<std::mutex> lock(mutex_);
        return "step " + std::to_string(step_) + ": " + lights[step_ % 3];
    }

  private:
    std::mutex mutex_;
    std::condition_variable quit_;
    bool quitting_ = false;
    unsigned step_ = 0;
};

/** The HTTP server: a pool of threads. */
class web {
  public:
    explicit web(light &shown) {
        const auto answer = [&](std::chrono::seconds takes) {
            return
                [&, takes](const httplib::Request &request, httplib::Response &response) {
                    in_flight_++;
                    say("http: " + request.method + " " + request.path);
                    std::this_thread::sleep_for(takes);
                    response.set_content(shown.describe() + "\n", "text/plain");
                    in_flight_--;
                };
        };
        server_.Get("/slow", answer(2s));
        server_.Get("/hang", answer(60s));
        server_.Get(".*", answer(0s));
        // An idle connection shall not hold up the end.
        server_.set_keep_alive_timeout(1);
    }

    /** Returns when those who are being served have their answer. */
    void run(int port, const rungroup::stop_token &stop) {
        const std::shared_ptr<void> leave(nullptr, [this](void *) { left_ = true; });
        const int bound = port == 0 ? server_.bind_to_any_port("127.0.0.1")
                          : server_.bind_to_port("127.0.0.1", port) ? port
                                                                    : -1;
        if (bound < 0)
            throw std::system_error(errno, std::generic_category(),
                                    "cannot listen on port " + std::to_string(port));
        say("http: listening on http://127.0.0.1:" + std::to_string(bound) + "/");
        if (!stop.stop_requested()) // stopped before it listened
            server_.listen_after_bind();
    }

    void stop() {
        say("http: stopping, " + std::to_string(in_flight_) + " in flight");
        // The server forgets a stop that comes before it runs.
        while (!server_.is_running() && !left_)
            std::this_thread::yield();
        server_.stop();
    }

  private:
    httplib::Server server_;
    std::atomic<int> in_flight_{0};
    std::atomic<bool> left_{false};
};

/** The cron job: its pause ends when the group stops. */
void run_cron(light &shown, const rungroup::stop_token &stop) {
    while (!stop.wait_for(1s))
        say("cron: " + shown.describe());
}

} // namespace

int main(int argc, char **argv) {
    char *end = nullptr;
    const long port = argc > 1 ? std::strtol(argv[1], &end, 10) : 8080;
    if (argc > 2 || (end != nullptr && *end != '\0') || port < 0 || port > 65535) {
        std::cerr << "usage: " << argv[0] << " [port]\n";
        return 2;
    }
    light light;
    web web(light);

    // Staged: the state machine is stopped last, when nobody reads it any more.
    rungroup::group group;
    group.set_order(rungroup::order::staged);
    group.set_grace(5s);
    group.add(
        "machine", [&] { light.run(); }, [&] { light.quit(); });
    group.add(
        "http",
        [&](const rungroup::stop_token &stop) { web.run(static_cast<int>(port), stop); },
        [&] { web.stop(); });
    group.add("cron", [&](const rungroup::stop_token &stop) { run_cron(light, stop); });
    group.add_signals();

    bool stuck = false, thrown = false;
    try {
        static_cast<void>(group.run());
    } catch (const rungroup::error &error) {
        if (!group.cause()) { // nothing was started
            std::cerr << "four_actors: " << error.what() << "\n";
            return 1;
        }
        stuck = error.code() == RG_ETIMEDOUT;
    } catch (const std::exception &) {
        thrown = true; // an actor's; the report has its words
    }
    std::cout << group.report() << std::flush;
    const int code = thrown ? 1 : group.cause()->code;
    if (stuck) // a stuck actor still uses what exit would destroy
        rg_exit(code);
    return code;
}
