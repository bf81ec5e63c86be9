// A C++ exception that leaves an execute ends the process as it does on a
// thread of C++'s own: std::terminate, with the text on stderr.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

#include <rungroup.h>

static int thrower(void *) { throw std::runtime_error("thrown by an execute"); }

int main() {
    int said[2];
    if (pipe(said) != 0)
        return 1;
    alarm(60);
    pid_t child = fork();
    if (child == 0) {
        dup2(said[1], 2);
        rg_group *group = rg_new();
        rg_add(group, thrower, rg_interrupt_none, nullptr);
        rg_run(group);
        _exit(0);
    }
    close(said[1]);
    char text[4096] = "";
    size_t length = 0;
    for (ssize_t more;
         (more = read(said[0], text + length, sizeof text - 1 - length)) > 0;)
        length += static_cast<size_t>(more);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        std::strstr(text, "thrown by an execute") == nullptr) {
        std::fprintf(stderr, "status %#x, said \"%s\"\n", static_cast<unsigned>(status),
                     text);
        return 1;
    }
    std::puts("thrower: 1 passed");
    return 0;
}
