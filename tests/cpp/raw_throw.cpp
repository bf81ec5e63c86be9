// A C++ exception that leaves a raw callback of the C interface ends the
// process, with a sentence that names the actor and rungroup.hpp.
#include "check.hpp"
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <rungroup.h>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>

namespace {

rg_group *group;

int wait_for_stop(void *) { return rg_wait_stop(group, -1) < 0; }
int return_3(void *) { return 3; }
int throw_in_execute(void *) { throw std::runtime_error("out of cheese"); }
void throw_in_interrupt(const rg_cause *, void *) {
    throw std::runtime_error("out of cheese");
}

void run(rg_execute_fn execute, rg_interrupt_fn interrupt, bool grace, bool start) {
    group = rg_new();
    if (grace)
        rg_set_grace(group, 60000);
    rg_actor actor{};
    actor.size = sizeof actor;
    actor.name = "culprit";
    actor.execute = execute;
    actor.interrupt = interrupt;
    if (rg_add_actor(group, &actor) != RG_OK)
        std::exit(2);
    actor.name = "bystander";
    actor.execute = return_3;
    actor.interrupt = rg_interrupt_none;
    if (rg_add_actor(group, &actor) != RG_OK)
        std::exit(2);
    int code = 0;
    if (start && rg_start(group) == 0)
        rg_wait(group, -1, &code);
    else
        rg_run(group);
    _exit(0);
}

/** What a child process that does this says before it aborts. */
std::string last_words(void (*body)()) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        alarm(30);
        dup2(ends[1], STDERR_FILENO);
        // If the exception came through the library it would be caught here.
        try {
            body();
        } catch (...) {
        }
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        said.append(buffer, static_cast<std::size_t>(got));
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return said;
}

void expect_sentence(void (*body)()) {
    const std::string said = last_words(body);
    CHECK(said.find("culprit") != std::string::npos);
    CHECK(said.find("bystander") == std::string::npos);
    CHECK(said.find("rungroup.hpp") != std::string::npos);
    if (said.find("culprit") == std::string::npos)
        std::printf("it said: %s\n", said.c_str());
}

} // namespace

int main() {
    return check::run("raw_throw",
                      {
                          {"execute",
                           [] {
                               expect_sentence([] {
                                   run(throw_in_execute, rg_interrupt_none, false, false);
                               });
                           }},
                          {"interrupt_on_rg_runs_thread",
                           [] {
                               expect_sentence([] {
                                   run(wait_for_stop, throw_in_interrupt, false, false);
                               });
                           }},
                          {"interrupt_on_a_helper",
                           [] {
                               expect_sentence([] {
                                   run(wait_for_stop, throw_in_interrupt, true, false);
                               });
                           }},
                          {"interrupt_after_rg_start",
                           [] {
                               expect_sentence([] {
                                   run(wait_for_stop, throw_in_interrupt, false, true);
                               });
                           }},
                      });
}
