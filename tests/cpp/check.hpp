// What the C++ tests share: named tests, a check, a gate, a watchdog.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <unistd.h>
#include <vector>

namespace check {

struct test {
    const char *name;
    void (*run)();
};

inline int &failures() {
    static int count = 0;
    return count;
}

inline void that(bool holds, const char *what, const char *file, int line) {
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!holds) {
        failures()++;
        std::printf("%s:%d: does not hold: %s\n", file, line, what);
    }
}

/** Opened once; whoever waits passes from then on. */
class gate {
  public:
    void open() {
        const std::lock_guard<std::mutex> lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return open_; });
    }
    bool is_open() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return open_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
};

/** Runs them; the last line says how many passed. */
inline int run(const char *suite, const std::vector<test> &tests) {
    int failed = 0;
    for (const test &each : tests) {
        alarm(60); // a hang is a failure
        const int before = failures();
        try {
            each.run();
        } catch (const std::exception &thrown) {
            failures()++;
            std::printf("%s: threw \"%s\"\n", each.name, thrown.what());
        }
        if (failures() != before) {
            failed++;
            std::printf("FAILED %s: %s\n", suite, each.name);
        }
        std::fflush(stdout);
    }
    std::printf("%s: %zu passed, %d failed\n", suite,
                tests.size() - static_cast<std::size_t>(failed), failed);
    return failed == 0 ? 0 : 1;
}

} // namespace check

#define CHECK(condition) check::that(condition, #condition, __FILE__, __LINE__)

/** The expression throws that type; in the block, `thrown` is what it threw. */
#define CHECK_THROWS(type, expression)                                                   \
    do {                                                                                 \
        bool caught = false;                                                             \
        try {                                                                            \
            static_cast<void>(expression);                                               \
        } catch (const type &) {                                                         \
            caught = true;                                                               \
        }                                                                                \
        check::that(caught, #expression " throws " #type, __FILE__, __LINE__);           \
    } while (false)

#endif
