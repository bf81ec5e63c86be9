/**
 * rungroup for C++17 and later: runs the components of a process as one group.
 *
 *     rungroup::group group;
 *     group.add("server", [&] { server.listen(); }, [&] { server.stop(); });
 *     group.add("cron", [&](rungroup::stop_token stop) {
 *         while (!stop.wait_for(1s))
 *             tick();
 *     });
 *     group.add_signals();
 *     int code = group.run();
 *
 * A thin layer over rungroup.h, whose contract holds. What it adds: any
 * callables, kept until they can no longer run; exceptions, which come out of
 * run() as what they were; and objects that clean up after themselves.
 *
 * Link with -lrungroup (pkg-config rungroup, or CMake's rungroup::cpp).
 */
#ifndef RUNGROUP_HPP
#define RUNGROUP_HPP

#include <rungroup.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <fcntl.h>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>
#if __cplusplus >= 202002L
#include <stop_token>
#endif
#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace rungroup {

class group;

/**
 * What the library itself refuses or cannot do, and the end of a run that has
 * no better exception: stuck actors (RG_ETIMEDOUT), and an actor that left its
 * thread by pthread_exit (RG_EPANIC).
 */
class error : public std::runtime_error {
  public:
    /** An error with one of the RG_E... numbers. */
    error(int code, const std::string &what) : std::runtime_error(what), code_(code) {}

    /** RG_EINVAL, RG_ESTATE, ... */
    [[nodiscard]] int code() const noexcept { return code_; }

  private:
    int code_;
};

/** The order of interrupts. */
enum class order {
    /** As added. */
    added = RG_ORDER_ADDED,
    /** The last added first. */
    reverse = RG_ORDER_REVERSE,
    /** The last added first, and each has returned before the next. */
    staged = RG_ORDER_STAGED
};

/** Why a group stops. */
struct cause {
    /** What the first actor returned, or what stop() was given. */
    int code = 0;
    /** The name of the actor that returned first; none: stopped from outside. */
    std::optional<std::string> actor;
    /** That actor's index, in order of addition. */
    std::optional<std::size_t> index;
    /** What that actor said of it: its exception's what(), say; or "". */
    std::string message;
    /** What its execute threw, or null. */
    std::exception_ptr exception;
};

/** Writes it as a sentence. */
inline std::ostream &operator<<(std::ostream &out, const cause &why) {
    if (why.actor)
        out << "ended by \"" << *why.actor << '"';
    else
        out << "stopped from outside";
    out << " with " << why.code;
    if (!why.message.empty())
        out << ": " << why.message;
    return out;
}

/** What an actor's execute has come to. */
enum class state {
    /** Not started. */
    added = RG_STATE_ADDED,
    /** Not returned. */
    running = RG_STATE_RUNNING,
    /** Returned, or threw. */
    returned = RG_STATE_RETURNED,
    /** Left its thread without returning. */
    panicked = RG_STATE_PANICKED
};

/** What became of one actor. Times count from the run's beginning. */
struct actor_report {
    /** Its name. */
    std::string name;
    /** What its execute has come to. */
    rungroup::state state = rungroup::state::added;
    /** What its execute returned; RG_EPANIC if it threw. */
    int code = 0;
    /** What it said of it, or "". */
    std::string message;
    /** What its execute threw, or null. */
    std::exception_ptr exception;
    /** What its interrupt said went wrong, or "". */
    std::string complaint;
    /** What its interrupt threw, or null. */
    std::exception_ptr interrupt_exception;
    /** Its execute had not returned when the grace was over. */
    bool execute_stuck = false;
    /** Its interrupt had not returned when the grace was over. */
    bool interrupt_stuck = false;
    /** Execute was called. */
    std::optional<std::chrono::nanoseconds> started;
    /** Execute returned. */
    std::optional<std::chrono::nanoseconds> returned;
    /** Interrupt was called. */
    std::optional<std::chrono::nanoseconds> interrupting;
    /** Interrupt returned. */
    std::optional<std::chrono::nanoseconds> interrupted;
};

/** What became of a run; a snapshot. */
struct report {
    /** In order of addition. */
    std::vector<actor_report> actors;
    /** The whole for people, as << writes it. */
    std::string text;
    /** The whole as JSON in the trace event form, which trace viewers open. */
    std::string trace;
};

/** Writes the text. */
inline std::ostream &operator<<(std::ostream &out, const report &what) {
    return out << what.text;
}

/** Not part of the interface. */
namespace detail {

/** Throws for a negative result of the C functions. */
inline int checked(int result) {
    if (result < 0)
        throw error(result, rg_strerror(result));
    return result;
}

/** Any duration in milliseconds: rounded up, and never negative. */
template <class Rep, class Period>
[[nodiscard]] std::int64_t millis(std::chrono::duration<Rep, Period> time) noexcept {
    const double count =
        std::ceil(std::chrono::duration<double, std::milli>(time).count());
    const double most = 9e15; // some 285,000 years: for ever, and exact
    return static_cast<std::int64_t>(count > most ? most : count > 0 ? count : 0);
}

/** What an actor's functions threw. */
struct thrown {
    std::exception_ptr execute;
    std::exception_ptr interrupt;
};

/** Rings once, when an actor's interrupt is called, whoever looks by then: the
    bridge to std::stop_token. Has the same layout in C++17. */
class bell {
  public:
    void ring() {
        std::unique_lock<std::mutex> lock(mutex_);
        rung_ = true;
        const auto source = source_;
        const auto request = request_;
        lock.unlock();
        if (source)
            request(source.get());
    }

#ifdef __cpp_lib_jthread
    [[nodiscard]] std::stop_token token() {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!source_) {
            source_ = std::make_shared<std::stop_source>();
            request_ = [](void *source) {
                static_cast<std::stop_source *>(source)->request_stop();
            };
            if (rung_)
                request_(source_.get()); // new: there are no callbacks yet
        }
        return static_cast<std::stop_source *>(source_.get())->get_token();
    }
#endif

  private:
    std::mutex mutex_;
    bool rung_ = false;
    std::shared_ptr<void> source_;
    void (*request_)(void *) = nullptr;
};

/** What the group, its actors and its tokens share: each may outlive the
    others when actors are stuck. */
class hub {
  public:
    hub() : handle_(rg_new()) {
        if (handle_ == nullptr)
            throw std::bad_alloc();
    }
    hub(const hub &) = delete;
    hub &operator=(const hub &) = delete;
    ~hub() {
        if (fd_ >= 0)
            ::close(fd_);
    }

    [[nodiscard]] rg_group *handle() const noexcept { return handle_; }

    /** The group's object goes. Tokens see that it is stopping from now on. */
    void close() {
        if (rg_wait(handle_, 0, nullptr) == 0) {
            rg_stop(handle_, 0);
            rg_wait(handle_, -1, nullptr);
        }
        rg_stop(handle_, 0); // wakes whoever waits by a token
        {
            const std::unique_lock<std::shared_mutex> lock(open_);
            closed_ = true;
        }
        rg_free(handle_);
    }

    /** True: stopping, or gone. */
    [[nodiscard]] bool wait_stop(std::int64_t timeout_ms) {
        const std::shared_lock<std::shared_mutex> lock(open_);
        return closed_ || rg_wait_stop(handle_, timeout_ms) == 1;
    }

    [[nodiscard]] bool stopping() {
        const std::shared_lock<std::shared_mutex> lock(open_);
        return closed_ || rg_stopping(handle_) == 1;
    }

    /** A copy of the stop descriptor, since the group's is closed with it. */
    [[nodiscard]] int fd() {
        const std::shared_lock<std::shared_mutex> open(open_);
        const std::lock_guard<std::mutex> lock(mutex_);
        if (fd_ < 0) {
            if (closed_)
                throw error(RG_ESTATE, "rungroup: the group is gone");
            fd_ = ::fcntl(checked(rg_stop_fd(handle_)), F_DUPFD_CLOEXEC, 0);
            if (fd_ < 0)
                throw error(RG_ENOMEM, rg_strerror(RG_ENOMEM));
        }
        return fd_;
    }

    /** Adds by a C function, and keeps a place for what the actor throws. One
        at a time, since the library does not say which index it gave. */
    template <class Add> void add(const std::shared_ptr<thrown> &place, Add add) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const std::size_t index = rg_actor_count(handle_);
        thrown_.resize(index + 1);
        checked(add(handle_));
        thrown_[index] = place;
    }

    /** A copy of what that actor has thrown. */
    [[nodiscard]] thrown of(std::size_t index) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return index < thrown_.size() && thrown_[index] ? *thrown_[index] : thrown();
    }

    /** Passes the mutex. That orders what actors did before what others see
        afterwards in the eyes of a race detector, too, which cannot look into
        the library's own locks. */
    void pass() { const std::lock_guard<std::mutex> lock(mutex_); }

    /** Keeps the exception that is being handled, and its text. */
    void keep(std::exception_ptr &place, const char *what) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            place = std::current_exception();
        }
        rg_fail(RG_EPANIC, what);
    }

    /** Why the group stops, for C++. */
    [[nodiscard]] cause translate(const rg_cause &why) {
        cause result;
        result.code = why.code;
        result.message = why.message;
        if (why.actor != nullptr)
            result.actor = why.actor;
        if (why.index >= 0) {
            result.index = static_cast<std::size_t>(why.index);
            result.exception = of(*result.index).execute;
        }
        return result;
    }

  private:
    rg_group *handle_;
    std::shared_mutex open_; // held shared by tokens while they use the handle
    bool closed_ = false;
    std::mutex mutex_; // of the rest
    int fd_ = -1;
    std::vector<std::shared_ptr<thrown>> thrown_;
};

} // namespace detail

/**
 * Tells that the group is stopping. Cheap to copy. May outlive the group,
 * which then counts as stopping: a stuck actor does no harm with its token.
 */
class stop_token {
  public:
    /** Whether stopping has begun; never undone. */
    [[nodiscard]] bool stop_requested() const { return hub_->stopping(); }

    /** As std::stop_token's: true. */
    [[nodiscard]] bool stop_possible() const noexcept { return true; }

    /** Waits until stopping begins. */
    void wait() const { static_cast<void>(hub_->wait_stop(-1)); }

    /** Waits at most so long, rounded up to milliseconds. True: stopping. */
    template <class Rep, class Period>
    [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return hub_->wait_stop(detail::millis(time));
    }

    /**
     * A descriptor that is readable once stopping began, for poll, epoll and
     * event loops; not to be read from. Valid while this token, or a copy of
     * it, exists. Throws error if there is none left.
     */
    [[nodiscard]] int fd() const { return hub_->fd(); }

#ifdef __cpp_lib_jthread
    /**
     * For std::stop_callback and std::condition_variable_any; also what an
     * execute gets that takes a std::stop_token. An actor's is requested when
     * that actor is interrupted (just before its interrupt function, if it has
     * one), one from get_stop_token at the group's first interrupt of a C++
     * actor; callbacks are part of that interrupt, and must not throw.
     */
    [[nodiscard]] operator std::stop_token() const { return bell_->token(); }
#endif

    /** Not part of the interface; see group::get_stop_token. */
    stop_token(std::shared_ptr<detail::hub> hub, std::shared_ptr<detail::bell> bell)
        : hub_(std::move(hub)), bell_(std::move(bell)) {}

  private:
    std::shared_ptr<detail::hub> hub_;
    std::shared_ptr<detail::bell> bell_;
};

/**
 * By which an actor without a thread reports its return. May be copied; used
 * once, from any thread, while the group's object exists or its run is not
 * over.
 */
class completion {
  public:
    /** It returned. Throws error (RG_ESTATE) if that was reported before. */
    void complete(int code = 0, const std::string &message = {}) const {
        detail::checked(rg_complete(done_, code, message.c_str()));
    }

    /** It threw: run() rethrows the exception if this actor is the first. */
    void fail(const std::exception_ptr &exception) const {
        std::string what;
        try {
            std::rethrow_exception(exception);
        } catch (const std::exception &caught) {
            what = caught.what();
        } catch (...) {
            what = "an exception that is no std::exception";
        }
        const auto hub = hub_; // outlives the actor, which may go with this call
        keep_(exception);
        complete(RG_EPANIC, what);
        hub->pass();
    }

    /** Not part of the interface. */
    completion(rg_completion *done, std::shared_ptr<detail::hub> hub,
               std::function<void(const std::exception_ptr &)> keep)
        : done_(done), hub_(std::move(hub)), keep_(std::move(keep)) {}

  private:
    rg_completion *done_;
    std::shared_ptr<detail::hub> hub_;
    std::function<void(const std::exception_ptr &)> keep_;
};
