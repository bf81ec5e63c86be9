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

#if __cplusplus < 201703L
#error "rungroup.hpp needs C++17 or later: compile with -std=c++17"
#endif

#include <rungroup.h>

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
#include <new>
#include <optional>
#include <ostream>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
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
    /** Returned. */
    returned = RG_STATE_RETURNED,
    /** Threw, or left its thread. */
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
    /** Its execute had returned, but its thread had not ended: the destructor of a
        thread_local object blocks, say. */
    bool thread_stuck = false;
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

/** Throws for a negative result of the C functions, with what this thread's last
    refusal was about. */
inline int checked(int result) {
    if (result < 0)
        throw error(result, rg_last_error());
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

/** What an exception says, as long as it exists. */
[[nodiscard]] inline const char *text(const std::exception_ptr &exception) noexcept {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception &caught) {
        return caught.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
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
class hub : public std::enable_shared_from_this<hub> {
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

    /** The group's object is destroyed. Its tokens say from now on that it is stopping.
     */
    void close() {
        if (rg_wait(handle_, 0, nullptr) == 0) {
            rg_stop(handle_, 0);
            rg_wait(handle_, -1, nullptr);
        }
        rg_stop(handle_, 0); // wakes whoever waits by a token; a fork's child may not
        bell_->ring();
        if (summary().observer_stuck != 0) { // kept for good, since it uses this
            static std::mutex mutex;
            static auto *const kept = new std::vector<std::shared_ptr<hub>>;
            const std::lock_guard<std::mutex> lock(mutex);
            kept->push_back(shared_from_this());
        }
        {
            const std::unique_lock<std::shared_mutex> lock(open_);
            closed_ = true;
        }
        rg_free(handle_);
    }

    /** Stops the group, and asks std::stop_tokens to. */
    void stop(int code) {
        checked(rg_stop(handle_, code));
        bell_->ring();
    }

    /** What became of the group as a whole. */
    [[nodiscard]] rg_summary summary() const {
        rg_summary result{};
        result.size = sizeof result;
        checked(rg_get_summary(handle_, &result));
        return result;
    }

    /** Has an observer called; none: no longer. */
    void observe(std::function<void(const rg_event &)> observer) {
        checked(rg_set_observer(handle_, call_observer, this));
        observer_ = std::move(observer);
    }

    /** Has the bell rung when stopping begins, whoever begins it. */
    void watch() {
        const std::shared_lock<std::shared_mutex> lock(open_);
        // While the group runs, an observer is refused.
        if (!closed_ && rg_set_observer(handle_, call_observer, this) != RG_OK &&
            rg_stopping(handle_) == 0)
            watch_apart();
        if (closed_ || rg_stopping(handle_) == 1)
            bell_->ring();
    }

    /** Has a thread wait for the stop, and ring the bell. With open_ held. */
    void watch_apart() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (watched_apart_)
            return;
        struct pollfd stop = {copied_fd(), POLLIN, 0};
        std::thread([self = shared_from_this(), stop]() mutable {
            while (::poll(&stop, 1, -1) <= 0) {
            }
            self->bell_->ring();
        }).detach();
        watched_apart_ = true;
    }

    static void call_observer(const rg_event *event, void *self) {
        if (event->kind == RG_EVENT_STOPPING)
            static_cast<hub *>(self)->bell_->ring();
        if (const auto &observer = static_cast<hub *>(self)->observer_)
            observer(*event);
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
        return copied_fd();
    }

    /** The same, with both locks held. */
    [[nodiscard]] int copied_fd() {
        if (fd_ < 0) {
            if (closed_)
                throw error(RG_ESTATE, "rungroup: the group is gone");
            fd_ =
                ::fcntl(checked(rg_stop_fd(handle_)), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
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

    /** Keeps an exception. Its text lives as long as it does. */
    const char *keep(std::exception_ptr &place, const std::exception_ptr &exception) {
        const std::lock_guard<std::mutex> lock(mutex_);
        place = exception;
        return text(exception);
    }

    /** Rung when stopping begins: by the first interrupt at the latest. */
    [[nodiscard]] const std::shared_ptr<bell> &stop_bell() const { return bell_; }

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
    std::function<void(const rg_event &)> observer_;
    int fd_ = -1;
    bool watched_apart_ = false;
    std::vector<std::shared_ptr<thrown>> thrown_;
    const std::shared_ptr<bell> bell_ = std::make_shared<bell>();
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
     * one), one from get_stop_token when the group begins to stop, or is
     * destroyed. Callbacks are part of the interrupt, of stop() or of an observer's
     * call, or run on a thread that waits for the stop where this is made while the
     * group runs; they must not throw. That thread may not be had: throws error or
     * std::system_error.
     */
    [[nodiscard]] operator std::stop_token() const {
        const auto token = bell_->token();
        if (bell_ == hub_->stop_bell())
            hub_->watch();
        return token;
    }
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
        complete(RG_EPANIC, hub_->keep(place_->execute, exception));
    }

    /** Not part of the interface. */
    completion(rg_completion *done, std::shared_ptr<detail::hub> hub,
               std::shared_ptr<detail::thrown> place)
        : done_(done), hub_(std::move(hub)), place_(std::move(place)) {}

  private:
    rg_completion *done_;
    std::shared_ptr<detail::hub> hub_;
    std::shared_ptr<detail::thrown> place_;
};

namespace detail {

/** An accepted actor: the userdata of the C functions below. */
class actor {
  public:
    explicit actor(std::shared_ptr<hub> group) : group_(std::move(group)) {}
    actor(const actor &) = delete;
    actor &operator=(const actor &) = delete;
    virtual ~actor() noexcept(false) = default; // a captured value's may throw

    virtual int execute() { return 0; }       // an async actor's
    virtual void start(const completion &) {} // a threaded one's
    virtual void interrupt(const rg_cause &why) = 0;

    [[nodiscard]] const std::shared_ptr<hub> &group() const { return group_; }
    [[nodiscard]] const std::shared_ptr<thrown> &place() const { return place_; }
    [[nodiscard]] const std::shared_ptr<bell> &interrupted() const { return bell_; }

  private:
    std::shared_ptr<hub> group_;
    std::shared_ptr<thrown> place_ = std::make_shared<thrown>();
    std::shared_ptr<bell> bell_ = std::make_shared<bell>();
};

/** The interrupt of an actor that has none. */
struct nothing {
    void operator()() const noexcept {}
};

/** What threaded and async actors have in common. */
template <class Work, class Interrupt> class callables : public actor {
  public:
    template <class W, class I>
    callables(std::shared_ptr<hub> group, W &&work, I &&interrupt)
        : actor(std::move(group)), work_(std::forward<W>(work)),
          interrupt_(std::forward<I>(interrupt)) {}

    void interrupt(const rg_cause &why) override {
        if constexpr (std::is_invocable_v<Interrupt &, const cause &>) {
            static_cast<void>(std::invoke(interrupt_, this->group()->translate(why)));
        } else {
            static_cast<void>(why);
            static_cast<void>(std::invoke(interrupt_));
        }
    }

  protected:
    [[nodiscard]] Work &work() noexcept { return work_; }

  private:
    Work work_;
    Interrupt interrupt_;
};

/** An actor with a thread. */
template <class Work, class Interrupt>
class threaded final : public callables<Work, Interrupt> {
  public:
    using callables<Work, Interrupt>::callables;

    int execute() override {
        if constexpr (std::is_invocable_v<Work &, stop_token>)
            return call(stop_token(this->group(), this->interrupted()));
        else
            return call();
    }

  private:
    template <class... Arguments> int call(Arguments... arguments) {
        using result = std::invoke_result_t<Work &, Arguments...>;
        static_assert(std::is_void_v<result> || std::is_same_v<result, int>,
                      "execute returns int or void");
        if constexpr (std::is_void_v<result>) {
            std::invoke(this->work(), std::move(arguments)...);
            return 0;
        } else {
            return std::invoke(this->work(), std::move(arguments)...);
        }
    }
};

/** An actor without one. */
template <class Start, class Interrupt>
class async final : public callables<Start, Interrupt> {
  public:
    using callables<Start, Interrupt>::callables;

    void start(const completion &done) override {
        static_cast<void>(std::invoke(this->work(), done));
    }
};

// What the library calls. Nothing but a forced unwinding (pthread_exit, a
// cancellation) leaves them, which must go on to the thread's first frame. It has no
// object, so that UndefinedBehaviorSanitizer takes the reference for a wrong one.
#ifdef __GLIBCXX__
#define RUNGROUP_FORCED_UNWIND __attribute__((no_sanitize("null")))
#else
#define RUNGROUP_FORCED_UNWIND
#endif

RUNGROUP_FORCED_UNWIND inline int call_execute(void *userdata) {
    actor &self = *static_cast<actor *>(userdata);
    int code = RG_EPANIC;
    try {
        self.group()->pass();
        code = self.execute();
        self.group()->pass();
#ifdef __GLIBCXX__
    } catch (const abi::__forced_unwind &) {
        throw;
#endif
    } catch (...) {
        rg_fail(code,
                self.group()->keep(self.place()->execute, std::current_exception()));
    }
    return code;
}

RUNGROUP_FORCED_UNWIND inline void call_start(rg_completion *done, void *userdata) {
    actor &self = *static_cast<actor *>(userdata);
    try {
        self.start(completion(done, self.group(), self.place()));
#ifdef __GLIBCXX__
    } catch (const abi::__forced_unwind &) {
        throw;
#endif
    } catch (...) {
        rg_complete(done, RG_EPANIC,
                    self.group()->keep(self.place()->execute, std::current_exception()));
    }
}

RUNGROUP_FORCED_UNWIND inline void call_interrupt(const rg_cause *why, void *userdata) {
    actor &self = *static_cast<actor *>(userdata);
    try {
        self.group()->pass();
        self.group()->stop_bell()->ring();
        self.interrupted()->ring();
        self.interrupt(*why);
        self.group()->pass();
#ifdef __GLIBCXX__
    } catch (const abi::__forced_unwind &) {
        throw;
#endif
    } catch (...) {
        rg_fail(RG_EPANIC,
                self.group()->keep(self.place()->interrupt, std::current_exception()));
    }
}

#undef RUNGROUP_FORCED_UNWIND

inline void call_release(void *userdata) {
    actor *self = static_cast<actor *>(userdata);
    const auto group = self->group();
    group->pass();
    try {
        delete self;
    } catch (...) { // from a destructor: there is nobody left to be told
    }
}

} // namespace detail

/**
 * A group of actors. Movable, also while it runs; not copyable. Its member
 * functions may be called from any thread; but actors that may get stuck must
 * not refer to the group itself: a stop_token outlives it.
 *
 * A function that the library refuses throws error, with its number; one of a
 * moved-from group does (RG_EINVAL). A group that refused an actor does not run,
 * also when the error was caught (rule 14).
 */
class group {
  public:
    /** An empty group. Throws std::bad_alloc. */
    group() : hub_(std::make_shared<detail::hub>()) {}

    group(group &&) noexcept = default;

    /** The group that was here is destroyed, as by the destructor. */
    group &operator=(group &&other) noexcept {
        if (this != &other) {
            reset();
            hub_ = std::move(other.hub_);
        }
        return *this;
    }

    group(const group &) = delete;
    group &operator=(const group &) = delete;

    /**
     * Stops and waits for a run that start() began and that is not over; then
     * destroys the callables, but for those of stuck actors: the last of these
     * to return destroys all that is left, on its thread.
     *
     * An exception from such a destructor, where it may throw at all
     * (noexcept(false)), is dropped; from any other the language calls
     * std::terminate.
     */
    ~group() { reset(); }

    /**
     * Adds an actor.
     *
     * @param name        UTF-8, at most 255 bytes; empty: "actor-<index>".
     * @param execute     does the work on a thread of its own: called once,
     *                    with a stop_token (or std::stop_token) if it takes
     *                    one; returns int or nothing, which is 0.
     * @param interrupt   makes execute return: called once, with the cause if
     *                    it takes a const cause &. It must not wait for its
     *                    execute, and may come before it (rule 8).
     * @param stack_size  of the thread, in bytes; 0: 8 MiB.
     *
     * Both are moved or copied in and live until they can no longer run. What
     * execute throws is kept, and is its return, with RG_EPANIC and what() as
     * message; what interrupt throws is kept in the report. pthread_exit and a
     * cancellation unwind execute and are its return, too; in an interrupt
     * that needs a grace or start(), since otherwise it would be run()'s
     * caller that ends, and the process is aborted. Neither may meet a
     * noexcept function, nor a catch (...) that does not rethrow.
     */
    template <class Execute, class Interrupt>
    void add(const std::string &name, Execute &&execute, Interrupt &&interrupt,
             std::size_t stack_size = 0) {
        using work = std::decay_t<Execute>;
        static_assert(std::is_invocable_v<work &, stop_token> ||
                          std::is_invocable_v<work &>,
                      "execute takes nothing, or a stop_token");
        auto made = make<detail::threaded>(std::forward<Execute>(execute),
                                           std::forward<Interrupt>(interrupt));
        rg_actor actor{};
        actor.size = sizeof actor;
        actor.name = name.empty() ? nullptr : name.c_str();
        actor.execute = detail::call_execute;
        actor.interrupt = detail::call_interrupt;
        actor.userdata = made.get();
        actor.release = detail::call_release;
        actor.stack_size = stack_size;
        made->group()->add(made->place(), [&actor](rg_group *handle) {
            return rg_add_actor(handle, &actor);
        });
        static_cast<void>(made.release()); // the library's, until call_release
    }

    /** Adds an actor that needs no interrupt, since it watches its stop_token. */
    template <class Execute> void add(const std::string &name, Execute &&execute) {
        static_assert(std::is_invocable_v<std::decay_t<Execute> &, stop_token>,
                      "an execute without an interrupt must take a stop_token");
        add(name, std::forward<Execute>(execute), detail::nothing());
    }

    /**
     * Adds an actor without a thread: an event loop's, say.
     *
     * @param name       as for add.
     * @param start      called once with a completion, by the thread in run()
     *                   or start(); must return soon. What it throws is the
     *                   actor's return.
     * @param interrupt  as for add; makes the actor complete.
     */
    template <class Start, class Interrupt>
    void add_async(const std::string &name, Start &&start, Interrupt &&interrupt) {
        static_assert(std::is_invocable_v<std::decay_t<Start> &, const completion &>,
                      "start takes a completion");
        auto made = make<detail::async>(std::forward<Start>(start),
                                        std::forward<Interrupt>(interrupt));
        made->group()->add(made->place(), [&](rg_group *handle) {
            return rg_add_async(handle, name.empty() ? nullptr : name.c_str(),
                                detail::call_start, detail::call_interrupt, made.get(),
                                detail::call_release);
        });
        static_cast<void>(made.release());
    }

    /**
     * Adds an actor that returns when one of the signals comes, with 128 plus
     * its number. Without arguments: SIGINT and SIGTERM.
     */
    void add_signals(std::initializer_list<int> signals = {}) {
        detail::checked(rg_add_signals(
            handle(), signals.size() == 0 ? nullptr : signals.begin(), signals.size()));
    }

    /**
     * Adds an actor that tells systemd, or what speaks its protocol, that the
     * group is ready, alive, and why it stops; see rg_add_systemd.
     */
    void add_systemd() { detail::checked(rg_add_systemd(handle())); }

    /** Sets how long after stopping began run() returns at the latest, rounded
        up to milliseconds; as long as none is set it waits for ever. */
    template <class Rep, class Period>
    void set_grace(std::chrono::duration<Rep, Period> grace) {
        detail::checked(rg_set_grace(handle(), detail::millis(grace)));
    }

    /** Sets the order of interrupts. */
    void set_order(order order) {
        detail::checked(rg_set_order(handle(), static_cast<int>(order)));
    }

    /**
     * Runs the group, once: returns when every actor has returned.
     *
     * Returns what the first actor returned, or what stop() was given. Throws
     * what that actor threw. Throws error: nothing was started (RG_ESPAWN,
     * RG_ENOMEM, RG_ESTATE); some actors are stuck (RG_ETIMEDOUT; then, since
     * exit would destroy what they still use, end the process by rg_exit, and
     * see cause() and report()); the first left its thread (RG_EPANIC).
     */
    [[nodiscard]] int run() { return settle(rg_run(handle())); }

    /** Starts every actor, or none, and returns; wait() gives the result.
        Throws error as run() does when nothing was started. */
    void start() { detail::checked(rg_start(handle())); }

    /** Waits for the end of a run that start() began (or run(), on another
        thread), and returns or throws what run() would. */
    [[nodiscard]] int wait() {
        int code = 0;
        detail::checked(rg_wait(handle(), -1, &code));
        return settle(code);
    }

    /** The same, but at most so long; none: not over by then. */
    template <class Rep, class Period>
    [[nodiscard]] std::optional<int> wait_for(std::chrono::duration<Rep, Period> time) {
        int code = 0;
        if (detail::checked(rg_wait(handle(), detail::millis(time), &code)) == 0)
            return std::nullopt;
        return settle(code);
    }

    /** Stops the group: run() returns the code (rule 9). From any thread, any
        number of times; the first counts. Not from a signal handler. */
    void stop(int code = 0) { hub()->stop(code); }

    /**
     * Has a function told of the group's events; see rg_set_observer, which says on
     * which thread. It must not throw. An empty one: no longer.
     */
    void set_observer(std::function<void(const rg_event &)> observer) {
        hub()->observe(std::move(observer));
    }

    /** A descriptor that is readable once wait() would not block. It is the
        group's, which closes it. */
    [[nodiscard]] int done_fd() const { return detail::checked(rg_done_fd(handle())); }

    /** poll(2) that also ends when the group stops: see rg_poll. */
    template <class Rep, class Period>
    int poll(struct pollfd *fds, std::size_t count,
             std::chrono::duration<Rep, Period> time) {
        return detail::checked(rg_poll(handle(), fds, count, detail::millis(time)));
    }

    /** What became of the group as a whole, now or at the end. Its text is the
        group's, and lives as long. */
    [[nodiscard]] rg_summary summary() const { return hub()->summary(); }

    /** Whether stopping has begun. */
    [[nodiscard]] bool stopping() const {
        return detail::checked(rg_stopping(handle())) == 1;
    }

    /** A token for those who are no actors of the group. */
    [[nodiscard]] stop_token get_stop_token() const {
        return stop_token(hub(), hub()->stop_bell());
    }

    /** Why the group stops; none before it does. */
    [[nodiscard]] std::optional<rungroup::cause> cause() const {
        const rg_cause *why = rg_get_cause(handle());
        if (why == nullptr)
            return std::nullopt;
        return hub_->translate(*why);
    }

    /** What became of the actors, now or at the end. */
    [[nodiscard]] rungroup::report report() const {
        rungroup::report result;
        const std::size_t count = rg_actor_count(handle());
        result.actors.reserve(count);
        for (std::size_t index = 0; index < count; index++)
            result.actors.push_back(actor(index));
        result.text = format(RG_FORMAT_TEXT);
        result.trace = format(RG_FORMAT_TRACE);
        return result;
    }

    /** The C interface's handle, still this object's, for all else that
        rungroup.h has; not for rg_free, nor for rg_set_observer, whose place a
        std::stop_token takes (set_observer goes together with one). Do not add by
        it while another thread calls add. */
    [[nodiscard]] rg_group *handle() const { return hub()->handle(); }

  private:
    template <template <class, class> class Kind, class Work, class Interrupt>
    [[nodiscard]] std::unique_ptr<detail::actor> make(Work &&work,
                                                      Interrupt &&interrupt) const {
        using function = std::decay_t<Interrupt>;
        static_assert(std::is_invocable_v<function &, const rungroup::cause &> ||
                          std::is_invocable_v<function &>,
                      "interrupt takes nothing, or a const cause &");
        return std::make_unique<Kind<std::decay_t<Work>, function>>(
            hub(), std::forward<Work>(work), std::forward<Interrupt>(interrupt));
    }

    [[nodiscard]] const std::shared_ptr<detail::hub> &hub() const {
        if (!hub_)
            throw error(RG_EINVAL, "rungroup: the group was moved from");
        return hub_;
    }

    void reset() noexcept {
        if (hub_)
            hub_->close();
        hub_.reset();
    }

    /** What comes out of a run that gave this code. */
    [[nodiscard]] int settle(int code) const {
        hub_->pass();
        const auto why = cause();
        if (rg_stopping(handle()) == 1)
            hub_->stop_bell()->ring();
        const bool given = why ? code == why->code : code == 0;
        if (given && !(code == RG_EPANIC && why->index))
            return code;
        if (given && why->exception)
            std::rethrow_exception(why->exception);
        std::string what = rg_last_error(); // why it was not run
        if (given)
            what = '"' + *why->actor + "\": " + why->message;
        else if (code == RG_ETIMEDOUT)
            what = rg_strerror(code);
        if (!given && code == RG_ETIMEDOUT) {
            for (const auto &actor : report().actors)
                if (actor.execute_stuck || actor.interrupt_stuck || actor.thread_stuck)
                    what += "; stuck: \"" + actor.name + '"';
            if (summary().observer_stuck != 0)
                what += "; stuck: the observer";
        }
        throw error(code, what);
    }

    [[nodiscard]] actor_report actor(std::size_t index) const {
        const auto time = [](std::int64_t ns) {
            return ns < 0 ? std::nullopt : std::optional(std::chrono::nanoseconds(ns));
        };
        rg_actor_report raw{};
        raw.size = sizeof raw;
        detail::checked(rg_get_report(handle(), index, &raw));
        detail::thrown thrown = hub_->of(index);
        actor_report result;
        result.name = raw.name;
        result.state = static_cast<state>(raw.state);
        result.code = raw.code;
        result.message = raw.message;
        result.exception = std::move(thrown.execute);
        result.complaint = raw.complaint;
        result.interrupt_exception = std::move(thrown.interrupt);
        result.execute_stuck = (raw.stuck & RG_STUCK_EXECUTE) != 0;
        result.interrupt_stuck = (raw.stuck & RG_STUCK_INTERRUPT) != 0;
        result.thread_stuck = (raw.stuck & RG_STUCK_THREAD) != 0;
        result.started = time(raw.started_ns);
        result.returned = time(raw.returned_ns);
        result.interrupting = time(raw.interrupting_ns);
        result.interrupted = time(raw.interrupted_ns);
        return result;
    }

    [[nodiscard]] std::string format(int format) const {
        std::string text;
        std::size_t length = rg_format_report(handle(), format, nullptr, 0);
        do { // a running group's may grow meanwhile
            text.resize(length + 1);
            length = rg_format_report(handle(), format, text.data(), text.size());
        } while (length >= text.size());
        text.resize(length);
        return text;
    }

    std::shared_ptr<detail::hub> hub_;
};

} // namespace rungroup

#endif // RUNGROUP_HPP
