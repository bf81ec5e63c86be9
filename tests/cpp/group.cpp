// rungroup.hpp without exceptions of actors: values, tokens, reports, lifetimes.
#include "check.hpp"
#include <csignal>
#include <memory>
#include <poll.h>
#include <rungroup.hpp>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;

namespace {

int code_of(const std::function<void()> &call) {
    try {
        call();
    } catch (const rungroup::error &thrown) {
        return thrown.code();
    }
    return 0;
}

void empty_group() {
    rungroup::group group;
    CHECK(!group.cause());
    CHECK(group.run() == 0);
}

void first_example() {
    rungroup::group group;
    check::gate gate;
    std::string told;
    group.add(
        "server", [&] { gate.wait(); }, [&] { gate.open(); });
    group.add("cron", [](rungroup::stop_token stop) {
        while (!stop.wait_for(1h)) {
        }
        return 9;
    });
    group.add(
        "worker", [] { return 3; },
        [&](const rungroup::cause &why) { told = why.actor.value_or("") + why.message; });
    CHECK(group.run() == 3);
    CHECK(group.stopping());
    CHECK(told == "worker");
    const auto why = group.cause();
    CHECK(why && why->actor == "worker" && why->index == 2U && why->code == 3);
    CHECK(why && !why->exception);
    const auto report = group.report();
    CHECK(report.actors.size() == 3);
    CHECK(report.actors[0].name == "server" && report.actors[0].code == 0);
    CHECK(report.actors[1].code == 9);
    CHECK(report.actors[1].state == rungroup::state::returned);
    CHECK(report.actors[1].returned >= report.actors[1].started);
    CHECK(report.actors[2].interrupted >= report.actors[2].interrupting);
    std::ostringstream text;
    text << report << *why;
    CHECK(text.str().find("worker") != std::string::npos);
    CHECK(text.str().find("ended by \"worker\" with 3") != std::string::npos);
    CHECK(report.trace.find("traceEvents") != std::string::npos);
}

struct move_only {
    std::unique_ptr<int> value;
    int operator()() { return *value; }
};

int plain_function() { return 6; }

struct component {
    check::gate gate;
    int serve() {
        gate.wait();
        return 8;
    }
    void stop() { gate.open(); }
};

void any_callables() {
    rungroup::group group;
    component server;
    const std::function<void(const rungroup::cause &)> function =
        [](const rungroup::cause &) {};
    group.add("moved", move_only{std::make_unique<int>(5)}, function);
    group.add("function", plain_function, [] {});
    group.add("bound", std::bind(&component::serve, &server),
              std::bind(&component::stop, &server));
    group.add(
        "generic", [](auto stop) { stop.wait(); }, [](auto &&...) {});
    group.set_order(rungroup::order::staged);
    group.set_grace(1h);
    const int code = group.run();
    CHECK(code == 5 || code == 6);
    const auto report = group.report();
    CHECK(report.actors[0].code == 5);
    CHECK(report.actors[1].code == 6);
    CHECK(report.actors[2].code == 8);
}

void captures_are_released() {
    const auto shared = std::make_shared<int>(1);
    {
        rungroup::group group;
        group.add(
            "run", [shared] { return *shared; }, [shared] {});
        CHECK(shared.use_count() == 3);
        CHECK(group.run() == 1);
        CHECK(shared.use_count() == 3);
    }
    CHECK(shared.use_count() == 1);
    {
        rungroup::group group;
        group.add(
            "never run", [shared] { return *shared; }, [shared] {});
        const std::string too_long(256, 'x');
        CHECK(code_of([&] {
                  group.add(
                      too_long, [shared] {}, [shared] {});
              }) == RG_EINVAL);
        CHECK(code_of([&] {
                  group.add(
                      "a", [shared] {}, [] {}, 100);
              }) == RG_EINVAL);
        CHECK(shared.use_count() == 3);
    }
    CHECK(shared.use_count() == 1);
}

void moves() {
    static_assert(!std::is_copy_constructible_v<rungroup::group>);
    static_assert(!std::is_copy_assignable_v<rungroup::group>);
    static_assert(std::is_nothrow_move_constructible_v<rungroup::group>);
    static_assert(std::is_nothrow_move_assignable_v<rungroup::group>);
    rungroup::group first;
    first.add(
        "a", [] { return 2; }, [] {});
    rungroup::group second = std::move(first);
    CHECK(code_of([&] { static_cast<void>(first.run()); }) == RG_EINVAL); // NOLINT
    CHECK(code_of([&] {
              first.add(
                  "b", [] {}, [] {});
          }) == RG_EINVAL); // NOLINT
    CHECK(second.run() == 2);
    first = std::move(second);
    CHECK(first.cause()->code == 2);
    first = rungroup::group();
    CHECK(!first.cause());
}

void refusals() {
    rungroup::group group;
    group.add(
        "a", [] { return 1; }, [] {});
    CHECK(group.run() == 1);
    CHECK(code_of([&] { static_cast<void>(group.run()); }) == RG_ESTATE);
    CHECK(code_of([&] {
              group.add(
                  "b", [] {}, [] {});
          }) == RG_ESTATE);
    CHECK(code_of([&] { group.set_grace(1s); }) == RG_ESTATE);
    CHECK(code_of([&] { group.set_order(rungroup::order::reverse); }) == RG_ESTATE);
    CHECK(code_of([&] { group.add_signals(); }) == RG_ESTATE);
    CHECK(group.cause()->code == 1);
    rungroup::group other;
    CHECK(code_of([&] { static_cast<void>(other.wait()); }) == RG_ESTATE);
    CHECK(code_of([&] { other.add_signals({SIGKILL}); }) == RG_EINVAL);
    const auto said = [](const auto &refused) -> std::string {
        try {
            refused();
        } catch (const rungroup::error &thrown) {
            return thrown.what();
        }
        return "";
    };
    const std::string signal = said([&] { other.add_signals({SIGKILL}); });
    CHECK(signal.find("SIGKILL") != std::string::npos);
    const std::string lacks = said([&] { static_cast<void>(other.run()); });
    CHECK(lacks.find("an actor was refused") != std::string::npos);
    rungroup::group vast;
    vast.add(
        "vast", [] {}, [] {}, std::size_t{1} << 46);
    const std::string thread = said([&] { static_cast<void>(vast.run()); });
    CHECK(thread.find("no thread for \"vast\"") != std::string::npos);
}

// An actor's own code may be one of the library's numbers.
void own_codes_are_no_errors() {
    for (const int code : {RG_ETIMEDOUT, RG_ESPAWN, RG_ESTATE, -1}) {
        rungroup::group group;
        group.add(
            "a", [code] { return code; }, [] {});
        CHECK(group.run() == code);
    }
    rungroup::group stopped;
    stopped.stop(RG_EPANIC);
    CHECK(stopped.run() == RG_EPANIC);
}

void no_thread_to_be_had() {
    rungroup::group group;
    bool called = false;
    group.add(
        "a", [&] { called = true; }, [] {});
    const auto huge = std::size_t{1} << 46;
    group.add(
        "b", [&] { called = true; }, [] {}, huge);
    CHECK(code_of([&] { static_cast<void>(group.run()); }) == RG_ESPAWN);
    CHECK(!called);
    CHECK(!group.cause());
}

void stops() {
    rungroup::group group;
    check::gate running;
    group.add("a", [&](const rungroup::stop_token &stop) {
        running.open();
        stop.wait();
    });
    std::thread outside([&] {
        running.wait();
        group.stop(7);
        group.stop(8);
    });
    CHECK(group.run() == 7);
    outside.join();
    const auto why = group.cause();
    CHECK(why && !why->actor && !why->index && why->code == 7);
    std::ostringstream text;
    text << *why;
    CHECK(text.str() == "stopped from outside with 7");
}

void tokens() {
    std::optional<rungroup::stop_token> kept;
    {
        rungroup::group group;
        kept = group.get_stop_token();
        CHECK(!kept->stop_requested());
        CHECK(!kept->wait_for(0s));
        CHECK(!kept->wait_for(-1h));
        const int fd = kept->fd();
        CHECK(fd == kept->fd());
        group.add("a", [fd](rungroup::stop_token stop) {
            pollfd entry = {fd, POLLIN, 0};
            CHECK(poll(&entry, 1, -1) == 1);
            CHECK(stop.stop_requested());
            CHECK(stop.fd() == fd);
        });
        group.add(
            "b", [] { return 1; }, [] {});
        CHECK(group.run() == 1);
        CHECK(kept->wait_for(std::chrono::hours::max()));
    }
    CHECK(kept->stop_requested());
    kept->wait();
    pollfd entry = {kept->fd(), POLLIN, 0};
    CHECK(poll(&entry, 1, 0) == 1);
}

// A group that goes counts as stopping: nobody waits on for it.
void tokens_of_a_group_that_goes() {
    std::optional<rungroup::group> group(std::in_place);
    const auto stop = group->get_stop_token();
    check::gate waiting;
    std::thread waiter([&] {
        waiting.open();
        stop.wait();
    });
    waiting.wait();
    group.reset();
    waiter.join();
    CHECK(stop.stop_requested());
    try {
        static_cast<void>(stop.fd());
        CHECK(false);
    } catch (const rungroup::error &thrown) {
        CHECK(thrown.code() == RG_ESTATE);
    }
}

void durations() {
    rungroup::group group;
    group.set_grace(std::chrono::hours::max());
    group.set_grace(std::chrono::nanoseconds(1));
    group.set_grace(std::chrono::duration<double>(0.5));
    group.set_grace(-1s);
    CHECK(group.run() == 0);
    using rungroup::detail::millis;
    CHECK(millis(1ns) == 1);
    CHECK(millis(0s) == 0);
    CHECK(millis(-1s) == 0);
    CHECK(millis(1500us) == 2);
    CHECK(millis(300'000'000ns) == 300);
    CHECK(millis(std::chrono::hours::max()) > 0);
    CHECK(millis(std::chrono::hours::min()) == 0);
}

void halves() {
    rungroup::group group;
    check::gate go;
    group.add(
        "a",
        [&] {
            go.wait();
            return 4;
        },
        [] {});
    group.start();
    CHECK(!group.wait_for(1ms));
    go.open();
    CHECK(group.wait() == 4);
    CHECK(group.wait_for(0s) == 4);
}

// A destructor stops what start() began, and waits for it.
void destructor_of_a_running_group() {
    bool ended = false;
    {
        rungroup::group group;
        group.add("a", [&](rungroup::stop_token stop) {
            stop.wait();
            ended = true;
        });
        group.start();
    }
    CHECK(ended);
}

void async() {
    rungroup::group group;
    std::optional<rungroup::completion> done;
    group.add_async(
        "loop", [&](const rungroup::completion &completion) { done = completion; },
        [&] { done->complete(5, "told to"); });
    group.add(
        "a", [] { return 2; }, [] {});
    CHECK(group.run() == 2);
    const auto report = group.report();
    CHECK(report.actors[0].code == 5 && report.actors[0].message == "told to");
    CHECK(code_of([&] { done->complete(); }) == RG_ESTATE);
}

void signals() {
    rungroup::group group;
    group.add("a", [](rungroup::stop_token stop) {
        std::raise(SIGUSR1);
        stop.wait();
    });
    group.add_signals({SIGUSR1});
    CHECK(group.run() == 128 + SIGUSR1);
    CHECK(group.cause()->message == "SIGUSR1");
}

// A grace in which what is not stuck ends, on a busy machine too.
constexpr auto in_time = 500ms;

// Rule 11: a stuck actor may go on with its captures and its token.
void stuck() {
    check::gate end;
    check::gate left;
    const auto shared = std::make_shared<int>(1);
    {
        rungroup::group group;
        group.set_grace(in_time);
        group.add(
            "stuck",
            [&end, &left, shared](rungroup::stop_token stop) {
                // Destroyed after the token's last use.
                const std::shared_ptr<void> leaves(nullptr, [&](void *) { left.open(); });
                end.wait();
                CHECK(stop.stop_requested());
                stop.wait();
                CHECK(*shared == 1);
            },
            [] {});
        group.add(
            "a", [] { return 3; }, [] {});
        try {
            static_cast<void>(group.run());
            CHECK(false);
        } catch (const rungroup::error &thrown) {
            CHECK(thrown.code() == RG_ETIMEDOUT);
            CHECK(std::string(thrown.what()).find("\"stuck\"") != std::string::npos);
        }
        CHECK(group.cause()->code == 3);
        CHECK(group.report().actors[0].execute_stuck);
        CHECK(!group.report().actors[0].interrupt_stuck);
    }
    CHECK(shared.use_count() == 2);
    end.open();
    left.wait();
    while (shared.use_count() > 1) // released by the thread's last act
        std::this_thread::yield();
}

/** Blocks the end of the thread that made it. */
struct holds_thread {
    check::gate &end;
    check::gate &left;
    ~holds_thread() {
        end.wait();
        left.open();
    }
};

// Rule 10: what else can be stuck, and is named.
void stuck_thread_and_observer() {
    static check::gate end;
    check::gate left;
    check::gate told;
    rungroup::group group;
    group.set_grace(in_time);
    group.add(
        "leaves",
        [&left] {
            static thread_local const holds_thread holds{end, left};
            static_cast<void>(&holds);
            return 3;
        },
        [] {});
    try {
        static_cast<void>(group.run());
        CHECK(false);
    } catch (const rungroup::error &thrown) {
        CHECK(std::string(thrown.what()).find("stuck: \"leaves\"") != std::string::npos);
    }
    const auto leaves = group.report().actors[0];
    CHECK(leaves.thread_stuck && !leaves.execute_stuck && !leaves.interrupt_stuck);
    rungroup::group observed;
    observed.set_grace(in_time);
    observed.set_observer([&told](const rg_event &) {
        end.wait();
        told.open();
    });
    observed.add(
        "a", [] {}, [] {});
    try {
        static_cast<void>(observed.run());
        CHECK(false);
    } catch (const rungroup::error &thrown) {
        CHECK(std::string(thrown.what()).find("the observer") != std::string::npos);
    }
    CHECK(!observed.report().actors[0].thread_stuck);
    end.open();
    left.wait();
    told.wait();
}

void nested() {
    rungroup::group parent;
    rungroup::group child;
    child.add("x", [](rungroup::stop_token stop) {
        stop.wait();
        return 5;
    });
    parent.add(
        "child", [&] { return child.run(); }, [&] { child.stop(6); });
    parent.add(
        "a", [] { return 1; }, [] {});
    CHECK(parent.run() == 1);
    CHECK(parent.report().actors[0].code == 6);
}

// C and C++ actors in one group.
void beside_c() {
    rungroup::group group;
    CHECK(rg_add(
              group.handle(), [](void *) { return 0; }, rg_interrupt_none, nullptr) == 0);
    group.add("a", [](rungroup::stop_token stop) { stop.wait(); });
    CHECK(group.run() == 0);
    CHECK(group.cause()->index == 0U);
}

// What C has: events, the descriptor of the end, poll, the summary.
void what_c_has() {
    rungroup::group group;
    std::vector<int> kinds;
    group.set_observer([&](const rg_event &event) { kinds.push_back(event.kind); });
    group.add("a", [](rungroup::stop_token) { return 3; });
    pollfd over = {group.done_fd(), POLLIN, 0};
    CHECK(poll(&over, 1, 0) == 0);
    group.start();
    CHECK(poll(&over, 1, -1) == 1);
    CHECK(group.wait() == 3);
    const std::vector<int> all = {RG_EVENT_STARTED,     RG_EVENT_RETURNED,
                                  RG_EVENT_STOPPING,    RG_EVENT_INTERRUPTING,
                                  RG_EVENT_INTERRUPTED, RG_EVENT_STOPPED};
    CHECK(kinds == all);
    CHECK(group.summary().code == 3 && group.summary().finished == 1);
    CHECK(group.poll(nullptr, 0, 60s) == RG_OK);
}

// A group that has run may go in a child of a fork, which must not stop it.
void goes_in_a_child() {
    auto group = std::make_unique<rungroup::group>();
    group->add("a", [](rungroup::stop_token) { return 3; });
    CHECK(group->run() == 3);
    const pid_t child = fork();
    if (child == 0) {
        group.reset();
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

#ifdef __cpp_lib_jthread
// Requested whenever stopping begins, whoever is in the group.
void std_stop_token_of_the_group() {
    const auto token_of = [](const rungroup::group &group) {
        const std::stop_token token = group.get_stop_token();
        CHECK(!token.stop_requested());
        return token;
    };
    { // Nobody of C++'s, and a signal.
        rungroup::group group;
        group.add_signals({SIGUSR1});
        const auto token = token_of(group);
        check::gate requested;
        const std::stop_callback callback(token, [&] { requested.open(); });
        group.start();
        kill(getpid(), SIGUSR1);
        requested.wait();
        CHECK(group.wait() == 128 + SIGUSR1);
    }
    { // Made while it runs, with an actor of C's that takes its time.
        static check::gate let_go;
        rungroup::group group;
        group.add_signals({SIGUSR1});
        const auto takes_its_time = [](void *) {
            let_go.wait();
            return 0;
        };
        CHECK(rg_add(group.handle(), takes_its_time, rg_interrupt_none, nullptr) == 0);
        group.start();
        const auto token = token_of(group);
        const auto again = token_of(group);
        check::gate requested;
        const std::stop_callback callback(token, [&] { requested.open(); });
        kill(getpid(), SIGUSR1);
        requested.wait();
        CHECK(again.stop_requested());
        let_go.open();
        CHECK(group.wait() == 128 + SIGUSR1);
    }
    { // Before the run.
        rungroup::group group;
        group.add("a", [](rungroup::stop_token stop) { stop.wait(); });
        const auto token = token_of(group);
        group.stop(3);
        CHECK(token.stop_requested());
        CHECK(group.run() == 3);
    }
    { // Empty.
        rungroup::group group;
        const auto token = token_of(group);
        CHECK(group.run() == 0);
        CHECK(token.stop_requested());
    }
    std::stop_token token;
    { // Not run at all.
        rungroup::group group;
        token = token_of(group);
    }
    CHECK(token.stop_requested());
}

void std_stop_token() {
    rungroup::group group;
    check::gate registered;
    check::gate called;
    bool before_interrupt = false;
    group.add(
        "callback",
        [&](std::stop_token stop) {
            CHECK(stop.stop_possible());
            const std::stop_callback callback(stop, [&] { called.open(); });
            registered.open();
            called.wait();
        },
        [&] { before_interrupt = called.is_open(); });
    group.add("condition", [](std::stop_token stop) {
        std::mutex mutex;
        std::condition_variable_any condition;
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(!condition.wait(lock, stop, [] { return false; }));
    });
    const std::stop_token of_group = group.get_stop_token();
    CHECK(!of_group.stop_requested());
    check::gate go;
    group.add(
        "a",
        [&] {
            go.wait();
            return 2;
        },
        [] {});
    group.start();
    registered.wait();
    go.open();
    CHECK(group.wait() == 2);
    CHECK(before_interrupt);
    CHECK(of_group.stop_requested());
    // Taken late, it is requested already.
    const std::stop_token late = group.get_stop_token();
    CHECK(late.stop_requested());
}

// Staged: each std::stop_token is requested at its own actor's interrupt.
void std_stop_token_staged() {
    rungroup::group group;
    group.set_order(rungroup::order::staged);
    bool second_left = false;
    check::gate first_runs;
    group.add("first", [&](std::stop_token stop) {
        check::gate stopped;
        const std::stop_callback callback(stop, [&] {
            CHECK(second_left);
            stopped.open();
        });
        first_runs.open();
        stopped.wait();
    });
    group.add("second", [&](std::stop_token stop) {
        check::gate stopped;
        const std::stop_callback callback(stop, [&] { stopped.open(); });
        stopped.wait();
        second_left = true;
    });
    group.add(
        "third", [&] { first_runs.wait(); }, [] {});
    CHECK(group.run() == 0);
}
#endif

} // namespace

int main() {
    return check::run(
        "group", {
                     {"empty_group", empty_group},
                     {"first_example", first_example},
                     {"any_callables", any_callables},
                     {"captures_are_released", captures_are_released},
                     {"moves", moves},
                     {"refusals", refusals},
                     {"own_codes_are_no_errors", own_codes_are_no_errors},
                     {"no_thread_to_be_had", no_thread_to_be_had},
                     {"stops", stops},
                     {"tokens", tokens},
                     {"tokens_of_a_group_that_goes", tokens_of_a_group_that_goes},
                     {"durations", durations},
                     {"halves", halves},
                     {"destructor_of_a_running_group", destructor_of_a_running_group},
                     {"async", async},
                     {"signals", signals},
                     {"stuck", stuck},
                     {"stuck_thread_and_observer", stuck_thread_and_observer},
                     {"nested", nested},
                     {"beside_c", beside_c},
                     {"what_c_has", what_c_has},
                     {"goes_in_a_child", goes_in_a_child},
#ifdef __cpp_lib_jthread
                     {"std_stop_token_of_the_group", std_stop_token_of_the_group},
                     {"std_stop_token", std_stop_token},
                     {"std_stop_token_staged", std_stop_token_staged},
#endif
                 });
}
