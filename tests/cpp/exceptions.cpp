// Exceptions and threads that end, in every place where C++ code runs.
#include "check.hpp"
#include <pthread.h>
#include <rungroup.hpp>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

// Neither copied nor sliced on its way.
struct custom : std::runtime_error {
    explicit custom(int n) : std::runtime_error("out of cheese"), number(n) {}
    int number;
};

void in_execute() {
    rungroup::group group;
    std::exception_ptr seen;
    group.add("a", [](rungroup::stop_token stop) { stop.wait(); });
    group.add(
        "b", []() -> int { throw custom(42); },
        [&](const rungroup::cause &why) { seen = why.exception; });
    try {
        static_cast<void>(group.run());
        CHECK(false);
    } catch (const custom &thrown) {
        CHECK(thrown.number == 42);
    }
    const auto why = group.cause();
    CHECK(why->code == RG_EPANIC);
    CHECK(why->actor == "b");
    CHECK(why->message == "out of cheese");
    CHECK(why->exception && seen == why->exception);
    CHECK(group.report().actors[1].exception == seen);
    CHECK(group.report().actors[1].state == rungroup::state::panicked);
}

void of_any_type() {
    rungroup::group group;
    group.add(
        "a", [] { throw 5; }, [] {}); // NOLINT
    try {
        static_cast<void>(group.run());
        CHECK(false);
    } catch (int thrown) {
        CHECK(thrown == 5);
    }
    CHECK(group.cause()->message == "an exception that is no std::exception");
}

// Later exceptions are kept, and the first actor's result counts.
void later_in_execute() {
    rungroup::group group;
    group.add("a", [](rungroup::stop_token stop) {
        stop.wait();
        throw custom(1);
    });
    group.add(
        "b", [] { return 3; }, [] {});
    CHECK(group.run() == 3);
    const auto report = group.report();
    CHECK_THROWS(custom, std::rethrow_exception(report.actors[0].exception));
    CHECK(report.actors[0].message == "out of cheese");
    CHECK(!report.actors[1].exception);
}

// Of several exceptions, run() rethrows the first actor's.
void of_the_first() {
    rungroup::group group;
    CHECK(rg_add_signals(group.handle(), nullptr, 0) == 0); // index 0 is not C++'s
    group.add("a", [](rungroup::stop_token stop) {
        stop.wait();
        throw std::logic_error("later");
    });
    group.add(
        "b", [] { throw custom(1); }, [] {});
    CHECK_THROWS(custom, group.run());
}

void in_interrupt(bool grace) {
    rungroup::group group;
    if (grace)
        group.set_grace(1h);
    check::gate gate;
    group.add(
        "a", [] { return 3; }, [] { throw custom(7); });
    group.add(
        "b", [&] { gate.wait(); }, [&] { gate.open(); });
    CHECK(group.run() == 3);
    const auto report = group.report();
    CHECK(report.actors[0].complaint == "out of cheese");
    CHECK_THROWS(custom, std::rethrow_exception(report.actors[0].interrupt_exception));
    CHECK(!report.actors[0].exception);
    CHECK(report.actors[1].interrupted.has_value());
}

void in_start() {
    rungroup::group group;
    group.add_async(
        "a", [](const rungroup::completion &) { throw custom(1); }, [] {});
    CHECK_THROWS(custom, group.run());
}

void by_a_completion() {
    rungroup::group group;
    group.add_async(
        "a",
        [](const rungroup::completion &done) {
            done.fail(std::make_exception_ptr(custom(1)));
        },
        [] {});
    CHECK_THROWS(custom, group.run());
    CHECK(group.cause()->message == "out of cheese");
}

// Stuck actors are what run() tells; what the first threw is in the cause.
void and_stuck_actors() {
    check::gate end;
    check::gate left;
    rungroup::group group;
    group.set_grace(50ms);
    group.add(
        "a", [] { throw custom(1); }, [] {});
    group.add(
        "b",
        [&] {
            end.wait();
            left.open();
        },
        [] {});
    CHECK_THROWS(rungroup::error, group.run());
    CHECK_THROWS(custom, std::rethrow_exception(group.cause()->exception));
    end.open();
    left.wait();
}

struct throws_when_destroyed {
    bool armed = true;
    throws_when_destroyed() = default;
    throws_when_destroyed(throws_when_destroyed &&other) noexcept
        : armed(std::exchange(other.armed, false)) {}
    ~throws_when_destroyed() noexcept(false) {
        if (armed)
            throw custom(1);
    }
};

// Dropped: there is nobody left to be told. The rest is destroyed all the same.
void in_a_destructor() {
    const auto shared = std::make_shared<int>(1);
    {
        rungroup::group group;
        group.add(
            "a", [shared, bad = throws_when_destroyed()] { return *shared; },
            [shared] {});
        group.add(
            "b", [shared] { return *shared; }, [] {});
        CHECK(group.run() == 1);
    }
    CHECK(shared.use_count() == 1);
}

void copying_throws() {
    struct fragile {
        fragile() = default;
        fragile(const fragile &) { throw custom(1); }
        fragile &operator=(const fragile &) = default;
        ~fragile() = default;
        int operator()() const { return 1; }
    };
    rungroup::group group;
    const fragile execute;
    CHECK_THROWS(custom, group.add("a", execute, [] {}));
    CHECK(rg_actor_count(group.handle()) == 0);
}

void thread_exit() {
    bool unwound = false;
    rungroup::group group;
    group.add(
        "leaver",
        [&] {
            const std::shared_ptr<void> guard(nullptr, [&](void *) { unwound = true; });
            pthread_exit(nullptr);
        },
        [] {});
    group.add("b", [](rungroup::stop_token stop) {
        stop.wait();
        throw custom(1); // not the first: not rethrown
    });
    try {
        static_cast<void>(group.run());
        CHECK(false);
    } catch (const rungroup::error &thrown) {
        CHECK(thrown.code() == RG_EPANIC);
        CHECK(std::string(thrown.what()).find("\"leaver\"") != std::string::npos);
    }
    CHECK(unwound);
    CHECK(group.report().actors[0].state == rungroup::state::panicked);
}

void cancellation() {
    bool unwound = false;
    check::gate running;
    check::gate never;
    pthread_t thread{};
    rungroup::group group;
    group.add(
        "cancelled",
        [&] {
            const std::shared_ptr<void> guard(nullptr, [&](void *) { unwound = true; });
            thread = pthread_self();
            running.open();
            for (;;)
                pause();
        },
        [] {});
    group.start();
    running.wait();
    CHECK(pthread_cancel(thread) == 0);
    CHECK_THROWS(rungroup::error, group.wait());
    CHECK(unwound);
}

void thread_exit_in_interrupt() {
    rungroup::group group;
    group.set_grace(1h);
    group.add(
        "a", [] { return 3; }, [] { pthread_exit(nullptr); });
    check::gate gate;
    group.add(
        "b", [&] { gate.wait(); }, [&] { gate.open(); });
    CHECK(group.run() == 3);
    CHECK(!group.report().actors[0].complaint.empty());
}

} // namespace

int main() {
    return check::run("exceptions",
                      {
                          {"in_execute", in_execute},
                          {"of_any_type", of_any_type},
                          {"later_in_execute", later_in_execute},
                          {"of_the_first", of_the_first},
                          {"in_interrupt", [] { in_interrupt(false); }},
                          {"in_interrupt_with_grace", [] { in_interrupt(true); }},
                          {"in_start", in_start},
                          {"by_a_completion", by_a_completion},
                          {"and_stuck_actors", and_stuck_actors},
                          {"in_a_destructor", in_a_destructor},
                          {"copying_throws", copying_throws},
                          {"thread_exit", thread_exit},
                          {"cancellation", cancellation},
                          {"thread_exit_in_interrupt", thread_exit_in_interrupt},
                      });
}
