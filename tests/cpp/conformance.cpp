// Runs the shared table of cases through rungroup.hpp. The file's form is
// described beside it. Usage: conformance cases.txt [case]
#include "check.hpp"
#include <algorithm>
#include <atomic>
#include <clocale>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <poll.h>
#include <pthread.h>
#include <rungroup.hpp>
#include <set>
#include <sstream>
#include <thread>

namespace {

// ---- the table ---------------------------------------------------------------

using words = std::vector<std::string>;
using script = std::vector<words>; // a step's words; the last takes the rest

struct actor_spec {
    std::string id;
    std::string name;
    bool async = false;
    std::size_t stack = 0;
    int refused = 0;
    std::vector<int> signals;
    script start;
    script execute = {{"wait-stop"}};
    script interrupt;
};

struct group_spec {
    rungroup::order order = rungroup::order::added;
    std::optional<std::chrono::milliseconds> grace;
    std::vector<actor_spec> actors;
    script before;
    script after;
    std::vector<script> outside;
    std::vector<words> expect;
};

struct case_spec {
    std::string name;
    std::set<std::string> needs;
    group_spec group;
    std::optional<group_spec> child;
};

int number(const std::string &word) {
    static const std::map<std::string, int> names = {
        {"RG_EINVAL", RG_EINVAL}, {"RG_ESTATE", RG_ESTATE},
        {"RG_ESPAWN", RG_ESPAWN}, {"RG_ETIMEDOUT", RG_ETIMEDOUT},
        {"RG_EPANIC", RG_EPANIC}, {"SIGINT", SIGINT},
        {"SIGTERM", SIGTERM}};
    const auto found = names.find(word);
    return found != names.end() ? found->second : std::stoi(word);
}

words split(const std::string &line) {
    std::istringstream in(line);
    words result;
    for (std::string word; in >> word;)
        result.push_back(word);
    return result;
}

std::string rest(const words &all, std::size_t from) {
    std::string text;
    for (std::size_t i = from; i < all.size(); i++)
        text += (i > from ? " " : "") + all[i];
    return text;
}

script steps(const std::string &line) {
    script result;
    std::size_t from = 0;
    while (from <= line.size()) {
        const std::size_t to = std::min(line.find(';', from), line.size());
        result.push_back(split(line.substr(from, to - from)));
        from = to + 1;
    }
    return result;
}

std::vector<case_spec> read(std::istream &in) {
    std::vector<case_spec> cases;
    group_spec *group = nullptr;
    for (std::string line; std::getline(in, line);) {
        const words all = split(line);
        if (all.empty() || all[0][0] == '#')
            continue;
        const std::string &key = all[0];
        const std::string value = rest(all, 1);
        if (key == "case") {
            cases.emplace_back();
            cases.back().name = value;
            group = &cases.back().group;
        } else if (key == "rule" || key == "proves") {
        } else if (key == "needs") {
            cases.back().needs.insert(all.begin() + 1, all.end());
        } else if (key == "group") {
            group = &cases.back().child.emplace();
        } else if (key == "order") {
            group->order = value == "staged"    ? rungroup::order::staged
                           : value == "reverse" ? rungroup::order::reverse
                                                : rungroup::order::added;
        } else if (key == "grace") {
            group->grace = std::chrono::milliseconds(std::stoi(value));
        } else if (key == "actor") {
            actor_spec &actor = group->actors.emplace_back();
            actor.id = actor.name = all[1];
            actor.async = all.size() > 2 && all[2] == "async";
        } else if (key == "named") {
            group->actors.back().name = value;
        } else if (key == "long-name") {
            group->actors.back().name = std::string(std::stoul(value), 'x');
        } else if (key == "stack") {
            group->actors.back().stack = std::stoul(value);
        } else if (key == "refused") {
            group->actors.back().refused = number(value);
        } else if (key == "without") { // needs null
        } else if (key == "on") {
            for (std::size_t i = 1; i < all.size(); i++)
                group->actors.back().signals.push_back(number(all[i]));
        } else if (key == "start") {
            group->actors.back().start = steps(value);
        } else if (key == "execute") {
            group->actors.back().execute = steps(value);
        } else if (key == "interrupt") {
            group->actors.back().interrupt = steps(value);
        } else if (key == "before") {
            group->before = steps(value);
        } else if (key == "after") {
            group->after = steps(value);
        } else if (key == "outside") {
            group->outside.push_back(steps(value));
        } else if (key == "expect") {
            group->expect.emplace_back(all.begin() + 1, all.end());
        } else {
            throw std::runtime_error("unknown in the table: " + line);
        }
    }
    return cases;
}

// ---- a case in action ----------------------------------------------------------

/** What one case's groups share. */
class stage {
  public:
    check::gate &gate(const std::string &name) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return gates_[name];
    }
    /** An actor's execute is about to return, or has. */
    check::gate &left(const std::string &actor) { return gate("left " + actor); }

  private:
    std::mutex mutex_;
    std::map<std::string, check::gate> gates_;
};

void expect(bool holds, const std::string &what) {
    check::that(holds, what.c_str(), "conformance", 0);
}

class running {
  public:
    running(const group_spec &spec, stage &stage, running *child)
        : spec_(spec), stage_(stage), child_(child), group_(std::in_place),
          stop_(group_->get_stop_token()), seen_(spec.actors.size()) {
        if (spec.grace)
            group_->set_grace(*spec.grace);
        group_->set_order(spec.order);
        for (std::size_t i = 0; i < spec.actors.size(); i++)
            add(i);
    }

    int run() {
        for (const script &each : spec_.outside)
            (late(each) ? late_ : threads_).emplace_back([this, &each] { play(each); });
        play(spec_.before);
        int code = RG_EPANIC;
        try {
            code = group_->run();
        } catch (const rungroup::error &thrown) {
            code = thrown.code();
        } catch (const std::runtime_error &thrown) {
            expect(group_->cause() && group_->cause()->message == thrown.what(),
                   "run() throws what the first actor threw");
        }
        code_ = code;
        return code;
    }

    void stop(int code) { group_->stop(code); }

    void compare() {
        play(spec_.after);
        const auto why = group_->cause();
        const auto report = group_->report();
        std::map<std::string, words> stuck;
        bool nothing = false;
        bool overlap = false;
        for (const words &what : spec_.expect) {
            const std::string line = rest(what, 0);
            if (what[0] == "code") {
                expect(code_ == number(what[1]),
                       line + ", but it is " + (code_ ? std::to_string(*code_) : "none"));
            } else if (what[0] == "cause") {
                compare_cause(what, line, why);
            } else if (what[0] == "nothing") {
                nothing = true;
            } else if (what[0] == "overlap") {
                overlap = true;
            } else if (what[0] == "interrupted") {
                const std::lock_guard<std::mutex> lock(mutex_);
                expect(rest(interrupted_, 0) == rest(what, 1),
                       line + ", but it was " + rest(interrupted_, 0));
            } else if (what[0] == "stuck") {
                stuck[what[1]] = what;
            } else {
                const auto &actor = report.actors[index(what[1])];
                if (what[0] == "result") {
                    expect(actor.code == number(what[2]), line);
                    expect(what.size() < 4 || actor.message == rest(what, 3), line);
                } else if (what[0] == "complaint") {
                    expect(what.size() < 3 ? !actor.complaint.empty()
                                           : actor.complaint == rest(what, 2),
                           line);
                } else {
                    expect(false, "unknown: " + line);
                }
            }
        }
        for (std::size_t i = 0; i < spec_.actors.size(); i++) {
            const actor_spec &actor = spec_.actors[i];
            if (actor.refused != 0 || !actor.signals.empty())
                continue;
            const record &seen = seen_[i];
            const int calls = nothing ? 0 : 1;
            expect(seen.executed == calls && seen.interrupted == calls,
                   actor.id + " is called once, or never");
            expect(seen.released == 0, actor.id + " is not released before the end");
            const auto found = stuck.find(actor.id);
            const std::string how = found == stuck.end() ? "" : found->second[2];
            const auto &said = report.actors[index(actor.id)];
            expect(said.execute_stuck == (how == "execute" || how == "both") &&
                       said.interrupt_stuck == (how == "interrupt" || how == "both"),
                   actor.id + " is stuck: " + how);
        }
        expect(overlap || !overlapped_, "interrupts come one after another");
    }

    /** The handle goes; then the stuck ones may. */
    void free() {
        for (std::thread &thread : threads_)
            thread.join();
        group_.reset();
    }

    void end() {
        for (std::thread &thread : late_)
            thread.join();
        std::unique_lock<std::mutex> lock(mutex_);
        released_.wait(lock, [this] {
            for (std::size_t i = 0; i < seen_.size(); i++)
                if (spec_.actors[i].signals.empty() && seen_[i].released == 0)
                    return false;
            return true;
        });
        for (const record &seen : seen_)
            expect(seen.released <= 1, "released once");
    }

  private:
    struct record {
        std::atomic<int> executed{0};
        std::atomic<int> interrupted{0};
        std::atomic<int> released{0};
        std::optional<rungroup::completion> done;
    };

    static bool late(const script &steps) { return steps[0] == words{"wait", "end"}; }

    /** Says when the callable that holds it is destroyed. */
    std::shared_ptr<void> tracker(std::size_t i) {
        return {nullptr, [this, i](void *) {
                    const std::lock_guard<std::mutex> lock(mutex_);
                    seen_[i].released++;
                    released_.notify_all();
                }};
    }

    void add(std::size_t i) {
        const actor_spec &actor = spec_.actors[i];
        record &seen = seen_[i];
        if (!actor.signals.empty()) {
            actor.signals.size() == 1
                ? group_->add_signals({actor.signals[0]})
                : group_->add_signals({actor.signals[0], actor.signals[1]});
            return;
        }
        const auto interrupt = [this, &actor, &seen](const rungroup::cause &why) {
            {
                const std::lock_guard<std::mutex> lock(mutex_);
                interrupted_.push_back(actor.id);
            }
            seen.interrupted++;
            const auto now = group_->cause();
            expect(now && now->code == why.code && now->actor == why.actor &&
                       now->message == why.message && now->index == why.index,
                   "the interrupt of " + actor.id + " is given the cause");
            if (inside_++ > 0)
                overlapped_ = true;
            const std::shared_ptr<void> leave(nullptr, [this](void *) { inside_--; });
            play(actor.interrupt);
        };
        int refused = 0;
        try {
            if (actor.async)
                group_->add_async(
                    actor.name,
                    [this, &actor, &seen,
                     tracked = tracker(i)](const rungroup::completion &done) {
                        seen.executed++;
                        seen.done = done;
                        play(actor.start);
                    },
                    interrupt);
            else
                group_->add(
                    actor.name,
                    [this, &actor, &seen, tracked = tracker(i)] {
                        seen.executed++;
                        const std::shared_ptr<void> leave(
                            nullptr, [&](void *) { stage_.left(actor.id).open(); });
                        return play(actor.execute);
                    },
                    interrupt, actor.stack);
        } catch (const rungroup::error &thrown) {
            refused = thrown.code();
        }
        expect(refused == actor.refused, actor.id + " is refused, or not");
    }

    /** The library's index, which refused actors have none of. */
    std::size_t index(const std::string &id) const {
        std::size_t index = 0;
        for (const actor_spec &actor : spec_.actors) {
            if (actor.id == id)
                return index;
            if (actor.refused == 0)
                index++;
        }
        throw std::runtime_error("no such actor in the table: " + id);
    }

    const actor_spec &actor(const std::string &id) const {
        return *std::find_if(spec_.actors.begin(), spec_.actors.end(),
                             [&](const actor_spec &actor) { return actor.id == id; });
    }

    rungroup::completion done(const std::string &id) const {
        return *seen_[static_cast<std::size_t>(&actor(id) - spec_.actors.data())].done;
    }

    void compare_cause(const words &what, const std::string &line,
                       const std::optional<rungroup::cause> &why) const {
        if (what[1] == "none") {
            expect(!why, line);
            return;
        }
        expect(why.has_value(), line);
        if (!why)
            return;
        expect(why->code == number(what[2]), line);
        if (what[1] == "outside")
            expect(!why->actor && !why->index, line);
        else
            expect(why->index == index(what[1]) && why->actor == actor(what[1]).name,
                   line);
        expect(what.size() < 4 || why->message == rest(what, 3), line);
    }

    bool readable() const {
        pollfd entry = {stop_.fd(), POLLIN, 0};
        return poll(&entry, 1, 0) == 1;
    }

    void look(const words &step) {
        const std::string line = rest(step, 0);
        const std::string &what = step[1];
        if (what == "open")
            expect(stage_.gate(step[2]).is_open(), line);
        else if (what == "closed")
            expect(!stage_.gate(step[2]).is_open(), line);
        else if (what == "left")
            expect(stage_.left(step[2]).is_open(), line);
        else if (what == "not-left")
            expect(!stage_.left(step[2]).is_open(), line);
        else if (what == "stopping")
            expect(group_->stopping() && stop_.stop_requested(), line);
        else if (what == "not-stopping")
            expect(!group_->stopping() && !stop_.stop_requested(), line);
        else if (what == "fd")
            expect(readable(), line);
        else if (what == "not-fd")
            expect(!readable(), line);
        else
            expect(false, "unknown: " + line);
    }

    void attempt(const words &step) {
        const std::string &what = step[1];
        int code = 0;
        try {
            if (what == "add")
                group_->add(
                    "late", [] {}, [] {});
            else if (what == "run")
                static_cast<void>(group_->run());
            else if (what == "grace")
                group_->set_grace(std::chrono::seconds(1));
            else if (what == "order")
                group_->set_order(rungroup::order::reverse);
            else if (what == "wait")
                static_cast<void>(group_->wait());
            else if (what == "free")
                rg_free(group_->handle()); // is refused, and says so
            else if (what == "complete")
                done(step[2]).complete(1);
            else
                throw std::runtime_error("unknown: try " + what);
        } catch (const rungroup::error &thrown) {
            code = thrown.code();
        }
        expect(what == "free" || code == number(step.back()), rest(step, 0));
    }

    int play(const script &what) {
        for (const words &step : what) {
            if (step.empty())
                continue;
            const std::string &verb = step[0];
            if (verb == "return")
                return number(step[1]);
            if (verb == "fail")
                return rg_fail(number(step[1]), rest(step, 2).c_str());
            if (verb == "run-child")
                return child_->run();
            if (verb == "panic")
                throw std::runtime_error(rest(step, 1));
            if (verb == "exit-thread")
                pthread_exit(nullptr);
            if (verb == "open") {
                stage_.gate(step[1]).open();
            } else if (verb == "wait") {
                stage_.gate(step[1]).wait();
            } else if (verb == "check") {
                look(step);
            } else if (verb == "try") {
                attempt(step);
            } else if (verb == "wait-stop") {
                stop_.wait();
            } else if (verb == "wait-fd") {
                pollfd entry = {stop_.fd(), POLLIN, 0};
                poll(&entry, 1, -1);
            } else if (verb == "pause") {
                std::this_thread::sleep_for(std::chrono::milliseconds(number(step[1])));
            } else if (verb == "stop") {
                group_->stop(number(step[1]));
            } else if (verb == "stop-child") {
                child_->stop(number(step[1]));
            } else if (verb == "complete") {
                stage_.left(step[1]).open();
                done(step[1]).complete(number(step[2]), rest(step, 3));
            } else if (verb == "raise") {
                std::raise(number(step[1]));
            } else {
                throw std::runtime_error("unknown: " + verb);
            }
        }
        return 0;
    }

    const group_spec &spec_;
    stage &stage_;
    running *child_;
    std::optional<rungroup::group> group_;
    rungroup::stop_token stop_;
    std::vector<record> seen_;
    std::vector<std::thread> threads_;
    std::vector<std::thread> late_; // those that wait for the end
    std::optional<int> code_;
    std::atomic<int> inside_{0};
    std::atomic<bool> overlapped_{false};
    std::mutex mutex_;
    std::condition_variable released_;
    words interrupted_;
};

/** What rule 15 says is as before. */
std::string surroundings() {
    std::string text;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (int number = 1; number < 32; number++) {
        text += sigismember(&mask, number) == 1 ? '1' : '0';
        struct sigaction action = {};
        sigaction(number, nullptr, &action);
        text += std::to_string(reinterpret_cast<std::uintptr_t>(action.sa_handler)) + ' ';
    }
    char folder[4096] = "";
    text += getcwd(folder, sizeof folder) != nullptr ? folder : "";
    return text + ' ' + std::setlocale(LC_ALL, nullptr);
}

void run(const case_spec &spec) {
    const std::string before = surroundings();
    stage stage;
    std::optional<running> child;
    if (spec.child)
        child.emplace(*spec.child, stage, nullptr);
    running group(spec.group, stage, child ? &*child : nullptr);
    group.run();
    group.compare();
    if (child)
        child->compare();
    group.free();
    if (child)
        child->free();
    stage.gate("end").open();
    group.end();
    if (child)
        child->end();
    expect(surroundings() == before,
           "mask, dispositions, folder and locale are as before");
}

} // namespace

int main(int argc, char **argv) {
    std::ifstream file(argc > 1 ? argv[1] : "tests/conformance/cases.txt");
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    for (const case_spec &spec : read(file)) {
        if (argc > 2 && spec.name != argv[2])
            continue;
        if (spec.needs.count("null") != 0) { // a missing function does not compile
            skipped++;
            continue;
        }
        alarm(120); // a hang is a failure
        const int before = check::failures();
        try {
            run(spec);
        } catch (const std::exception &thrown) {
            expect(false, std::string("threw ") + thrown.what());
        }
        const bool good = check::failures() == before;
        (good ? passed : failed)++;
        if (!good)
            std::printf("FAILED conformance: %s\n", spec.name.c_str());
        std::fflush(stdout);
    }
    std::printf("conformance: %d passed, %d failed, %d need what C++ rules out\n", passed,
                failed, skipped);
    return failed == 0 && passed > 0 ? 0 : 1;
}
