// The life of some groups while one call of the C library fails, as in life.c,
// through the C++ interface: a bad_alloc, an error with a number and a sentence,
// or an abort for want of memory.
#include "../c/check.h"

#include <rungroup.hpp>

#include <chrono>
#include <memory>
#include <thread>

extern "C" int fault_begin(const char *fault, long call);
extern "C" long fault_end(void);

using namespace std::chrono_literals;

static bool perfect;
static int errors;

struct failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// An error that says enough, or CHECK fails.
template <class Do> static bool tried(Do &&what) {
    try {
        what();
        return true;
    } catch (const std::bad_alloc &) {
    } catch (const rungroup::error &error) {
        // ESTATE: by a stuck actor, of a group that is gone.
        CHECK(error.code() == RG_ENOMEM || error.code() == RG_ESPAWN ||
              error.code() == RG_ETIMEDOUT || error.code() == RG_ESTATE);
        CHECK(std::string(error.what()).size() > 10);
    }
    CHECK(!perfect);
    errors++;
    return false;
}

// What actors use who may be stuck when the group is gone.
struct shared {
    bool executed = false;
    std::optional<rungroup::completion> done;
};

static void ended_by_exception(bool started) {
    const auto alive = std::make_shared<shared>();
    {
        rungroup::group group;
        group.set_grace(60s);
        group.add("waits", [alive](rungroup::stop_token stop) { stop.wait(); });
        group.add("descriptor", [alive](rungroup::stop_token stop) {
            int fd = -1;
            if (!tried([&] { fd = stop.fd(); }))
                return stop.wait(); // its return would be the cause
            pollfd readable = {fd, POLLIN, 0};
            poll(&readable, 1, -1);
            CHECK(stop.stop_requested());
        });
        group.add_async(
            "async", [alive](rungroup::completion done) { alive->done = done; },
            [alive] {
                alive->done->complete(0);
                alive->done.reset();
            });
        group.add_signals({SIGUSR1});
        group.add_systemd();
        group.add(
            "throws",
            [alive] {
                alive->executed = true;
                throw failed("why");
            },
            [] {});
        for (int again = 0; again < 3; again++) {
            try {
                tried([&] {
                    int code = 0;
                    if (started) {
                        group.start();
                        code = group.wait();
                    } else {
                        code = group.run();
                    }
                    // One that could not do its work, systemd's or signals', says so.
                    CHECK(!perfect && code == 1 && group.cause()->message.size() > 10);
                    errors++;
                });
            } catch (const failed &error) {
                CHECK_STR(error.what(), "why");
            }
            if (group.stopping())
                break;
            CHECK(!alive->executed);
        }
        CHECK(!group.report().actors.empty());
    }
    while (alive.use_count() > 1)
        std::this_thread::yield();
}

static void life() {
    tried([] { ended_by_exception(false); });
    tried([] { ended_by_exception(true); });
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    const char *fault = argv[1];
    long call = std::strtol(argv[2], nullptr, 10);
    watchdog(60);
    running_case = fault;
    CHECK_INT(fault_begin(fault, call), 0);
    life();
    long calls = fault_end();
    int came_of_it = errors;
    await_threads(1);
    perfect = true;
    running_case = "all is well again";
    life();
    await_threads(1);
    int before = descriptors();
    perfect = false;
    fault_begin(fault, call);
    life();
    fault_end();
    await_threads(1);
    CHECK_INT(descriptors(), before);
    std::printf("%ld calls, %d errors\n", calls, came_of_it);
}
