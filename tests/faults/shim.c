/* Makes one call of a libc function fail, of those that librungroup.so makes: what
 * the host itself calls is not touched. To be loaded before the C library, by
 * LD_PRELOAD or as the first library that is linked.
 *
 * A fault is a text: the function's name, and the errno or, of a clock, the
 * seconds by which it jumps: "eventfd=EMFILE", "monotonic=3600". With a "+" at
 * its end every later call fails as well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- the fault ---------------------------------------------------------------- */

static char function[32]; /* "": none */
static int code;
static long jump; /* seconds */
static int and_on;
static long failing; /* the call, from 1; 0: none, they are only counted */
static atomic_long calls;
static uintptr_t lowest, highest; /* the library's code */

/* Stays while the process lives: a clock does not jump back. */
static atomic_long jumped;

static int find_library(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size;
    (void)unused;
    if (strstr(info->dlpi_name, "/librungroup.so") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X)) {
            lowest = info->dlpi_addr + part->p_vaddr;
            highest = lowest + part->p_memsz;
        }
    }
    return 1;
}

static int number_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } known[] = {{"EAGAIN", EAGAIN}, {"EBADF", EBADF},   {"EBUSY", EBUSY},
                 {"EINTR", EINTR},   {"EINVAL", EINVAL}, {"EIO", EIO},
                 {"EMFILE", EMFILE}, {"ENOENT", ENOENT}, {"ENOMEM", ENOMEM},
                 {"ENOSYS", ENOSYS}, {"EPERM", EPERM},   {"ERANGE", ERANGE}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    return 0;
}

/* From here on the call with that number, counted from 1, fails. Gives 0, or -1:
 * it is no fault, or the library is not loaded. */
int fault_begin(const char *fault, long call) {
    char text[64];
    snprintf(text, sizeof text, "%s", fault);
    size_t length = strlen(text);
    and_on = length > 0 && text[length - 1] == '+';
    if (and_on)
        text[length - 1] = '\0';
    char *value = strchr(text, '=');
    if (value == NULL || dl_iterate_phdr(find_library, NULL) == 0)
        return -1;
    *value++ = '\0';
    code = number_of(value);
    jump = strtol(value, NULL, 10);
    if (code == 0 && jump == 0)
        return -1;
    failing = call;
    calls = 0;
    snprintf(function, sizeof function, "%.31s", text);
    return 0;
}

/* Nothing fails any more. Gives how many calls there were. */
long fault_end(void) {
    function[0] = '\0';
    return calls;
}

/* Whether this call, which returns to `caller`, is to fail. */
static int fails(const char *name, void *caller) {
    if (function[0] != name[0] || strcmp(function, name) != 0)
        return 0;
    uintptr_t address = (uintptr_t)caller;
    if (address < lowest || address >= highest)
        return 0;
    long call = ++calls;
    return failing > 0 && (call == failing || (and_on && call > failing));
}

#define CALLER __builtin_return_address(0)

/* The next library's function of this name, in `real`. */
#define REAL(name)                                                                       \
    static __typeof__(&name) real;                                                       \
    if (real == NULL) {                                                                  \
        void *symbol = dlsym(RTLD_NEXT, #name);                                          \
        memcpy(&real, &symbol, sizeof real);                                             \
    }

/* Sets errno. */
#define FAILS(type, name, parameters, arguments, result)                                 \
    type name parameters {                                                               \
        REAL(name)                                                                       \
        if (fails(#name, CALLER)) {                                                      \
            errno = code;                                                                \
            return result;                                                               \
        }                                                                                \
        return real arguments;                                                           \
    }

/* Gives the error itself. */
#define REFUSES(name, parameters, arguments)                                             \
    int name parameters {                                                                \
        REAL(name)                                                                       \
        return fails(#name, CALLER) ? code : real arguments;                             \
    }

/* ---- memory --------------------------------------------------------------------- */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size) {
    return fails("malloc", CALLER) ? no_memory() : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails("calloc", CALLER) ? no_memory() : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    return fails("realloc", CALLER) ? no_memory() : __libc_realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (fails("posix_memalign", CALLER))
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}

FAILS(void *, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
      (at, size, access, flags, fd, offset), MAP_FAILED)
FAILS(int, munmap, (void *at, size_t size), (at, size), -1)
FAILS(int, mprotect, (void *at, size_t size, int access), (at, size, access), -1)

/* Where mprotect is to fail, the kernel is one that leaves guards to it. */
int madvise(void *at, size_t size, int advice) {
    enum { GUARD_INSTALL = 102 };
    REAL(madvise)
    if (fails("madvise", CALLER)) {
        errno = code;
        return -1;
    }
    if (advice == GUARD_INSTALL && strcmp(function, "mprotect") == 0) {
        errno = EINVAL;
        return -1;
    }
    return real(at, size, advice);
}

/* ---- threads ---------------------------------------------------------------------- */

REFUSES(pthread_create,
        (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
         void *argument),
        (thread, attributes, start, argument))
REFUSES(pthread_attr_init, (pthread_attr_t * attributes), (attributes))
REFUSES(pthread_attr_setstack, (pthread_attr_t * attributes, void *at, size_t size),
        (attributes, at, size))
REFUSES(pthread_attr_setstacksize, (pthread_attr_t * attributes, size_t size),
        (attributes, size))
REFUSES(pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end))
REFUSES(pthread_setspecific, (pthread_key_t key, const void *value), (key, value))
REFUSES(pthread_setname_np, (pthread_t thread, const char *name), (thread, name))
REFUSES(pthread_tryjoin_np, (pthread_t thread, void **result), (thread, result))

/* ---- descriptors --------------------------------------------------------------------
 */

FAILS(int, eventfd, (unsigned value, int flags), (value, flags), -1)
FAILS(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout),
      -1)
FAILS(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size), -1)
FAILS(int, socket, (int family, int kind, int protocol), (family, kind, protocol), -1)
FAILS(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t size), (fd, to, size), -1)
FAILS(int, setsockopt, (int fd, int level, int name, const void *to, socklen_t size),
      (fd, level, name, to, size), -1)

/* An event's write says EAGAIN only when it is readable already. */
ssize_t write(int fd, const void *buffer, size_t size) {
    REAL(write)
    if (fails("write", CALLER)) {
        if (code == EAGAIN && size == sizeof(uint64_t))
            real(fd, buffer, size);
        errno = code;
        return -1;
    }
    return real(fd, buffer, size);
}

/* The descriptor is gone even so. */
int close(int fd) {
    REAL(close)
    int result = real(fd);
    if (fails("close", CALLER)) {
        errno = code;
        return -1;
    }
    return result;
}

int open(const char *path, int flags, ...) {
    REAL(open)
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (fails("open", CALLER)) {
        errno = code;
        return -1;
    }
    return real(path, flags, mode);
}

/* ---- the rest
 * -------------------------------------------------------------------------- */

FAILS(int, sigaction,
      (int signal, const struct sigaction *action, struct sigaction *before),
      (signal, action, before), -1)
FAILS(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *out), (resource, out),
      -1)
FAILS(long, sysconf, (int name), (name), -1)

int clock_gettime(clockid_t clock, struct timespec *out) {
    REAL(clock_gettime)
    int result = real(clock, out);
    if (fails(clock == CLOCK_MONOTONIC ? "monotonic" : "realtime", CALLER))
        jumped += jump;
    /* Before the library's code is known, and for others, nothing has jumped. */
    uintptr_t address = (uintptr_t)CALLER;
    if (clock == CLOCK_MONOTONIC && address >= lowest && address < highest)
        out->tv_sec += jumped;
    return result;
}

/* Of these the library makes waits on a futex alone, which may end for nothing. */
long syscall(long number, ...) {
    REAL(syscall)
    long given[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(more, long);
    va_end(more);
    int operation = (int)given[1] & FUTEX_CMD_MASK;
    int waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
    if (number == SYS_futex && waits && fails("futex_wait", CALLER)) {
        errno = code;
        return -1;
    }
    struct timespec real_time;
    const struct timespec *until = (const struct timespec *)given[3];
    /* A deadline of the clock that jumped, told to the one that did not. */
    if (number == SYS_futex && operation == FUTEX_WAIT_BITSET && until != NULL &&
        jumped != 0) {
        real_time = *until;
        real_time.tv_sec -= jumped;
        given[3] = (long)&real_time;
    }
    return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
