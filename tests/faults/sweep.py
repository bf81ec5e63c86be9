"""Makes each call of the C library's that librungroup.so makes fail, one by one.

    sweep.py LANGUAGE [FAULT...]    imports, c, cpp, python or go

tests/faults/shim.c makes one call fail, counted from 1; the programs beside it go
through the lives of some groups meanwhile. A call number is tried after the other
until a life ends without reaching it. Without ALL=1 the steps grow where the same
call fails in another way or language, Python's and Go's fail in one way each, and
few calls are repeated to find leaks.
"""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "build/lib"
OUT = ROOT / "build/faults"
FOLDER = ROOT / "tests/faults"
ALL = bool(os.environ.get("ALL"))
WATCHDOG = 120  # seconds; the programs' own is 60

# Each function that can fail, and how.
FAULTS = {
    "malloc": ["ENOMEM"],
    "realloc": ["ENOMEM"],
    "calloc": ["ENOMEM"],
    "posix_memalign": ["ENOMEM"],
    "mmap": ["ENOMEM", "ENOMEM+"],
    "munmap": ["EINVAL"],
    "mprotect": ["ENOMEM", "ENOMEM+"],
    "madvise": ["EINVAL", "EINVAL+"],
    "pthread_create": ["EAGAIN", "EAGAIN+"],
    "pthread_attr_init": ["ENOMEM", "ENOMEM+"],
    "pthread_attr_setstack": ["EINVAL", "EINVAL+"],
    "pthread_attr_setstacksize": ["EINVAL", "EINVAL+"],
    "pthread_key_create": ["EAGAIN", "EAGAIN+"],
    "pthread_setspecific": ["ENOMEM", "ENOMEM+"],
    "pthread_setname_np": ["ERANGE"],
    "pthread_tryjoin_np": ["EBUSY"],
    "eventfd": ["EMFILE", "EMFILE+"],
    "poll": ["ENOMEM", "ENOMEM+", "EINTR"],
    "read": ["EINTR", "EAGAIN", "EIO"],
    "write": ["EINTR", "EAGAIN"],
    "close": ["EINTR", "EIO"],
    "open": ["EMFILE"],
    "socket": ["EMFILE"],
    "connect": ["ENOENT", "EAGAIN"],
    "setsockopt": ["EINVAL"],
    "sigaction": ["EINVAL", "EINVAL+"],
    "getrlimit": ["EINVAL"],
    "sysconf": ["EINVAL"],
    # Waits on a futex that end for nothing, and a clock that jumps.
    "syscall": ["futex_wait=EINTR", "futex_wait=EAGAIN"],
    "clock_gettime": ["monotonic=3600", "monotonic=-1", "realtime=1000000"],
}

# Never called by the lives: why, and no life may call it.
UNREACHED = {
    "calloc": "zeroed memory is only asked for by the standard library's backtraces",
    "realtime": "no date is looked at",
}

# Called by some runs only: why. The process ends without memory, after a sentence.
SOMETIMES = {
    "posix_memalign": "parking_lot's table of the threads that wait for a lock",
}

# What cannot fail, or not in a way that could be met.
CANNOT_FAIL = {
    "__cxa_finalize _ITM_deregisterTMCloneTable _ITM_registerTMCloneTable __gmon_start__": (
        "the loader's"
    ),
    "_Unwind_Backtrace _Unwind_DeleteException _Unwind_GetCFA _Unwind_GetDataRelBase "
    "_Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData "
    "_Unwind_GetRegionStart _Unwind_GetTextRelBase _Unwind_RaiseException "
    "_Unwind_Resume _Unwind_SetGR _Unwind_SetIP": "panics; the unwinder ends the process",
    "__cxa_thread_atexit_impl __tls_get_addr": "the C library ends the process itself",
    "__errno_location __xpg_strerror_r bcmp getenv getpid gettid memcpy memmove memset "
    "pthread_self pthread_setcancelstate pthread_sigmask sched_yield sigaddset sigemptyset "
    "sigismember stderr stdout strlen strnlen free": (
        "no failure, or for a wrong argument only"
    ),
    "dlsym": "ThreadSanitizer is looked for, which is there or not",
    "fcntl": "only in a program without standard streams; its failure is eventfd's",
    "kill": "a signal to the process itself, which it may always send",
    "_exit abort raise": "do not come back, or only from a handler of the program's own",
    "fflush ftrylockfile funlockfile": (
        "rg_exit's: the process ends, whatever they say; exits.c has a locked stdout"
    ),
    "pthread_attr_destroy pthread_detach pthread_join pthread_key_delete": (
        "fail for a thread or key that is none only"
    ),
    "dl_iterate_phdr fstat64 getcwd lseek64 mmap64 open64 readlink realpath stat64 statx "
    "writev": ("a panic's text and backtrace; it is about to end"),
}


class Failed(Exception):
    pass


def run(*command, **options):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=WATCHDOG,
        **options,
    )
    return done.returncode, done.stdout


def build(*command, **options):
    status, output = run(*command, **options)
    if status != 0:
        raise Failed(output)


STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1", "-Iinclude"]
RPATH = [f"-L{LIB}", "-lrungroup", "-lpthread", f"-Wl,-rpath,{LIB}:{OUT}"]


def shim():
    OUT.mkdir(parents=True, exist_ok=True)
    library = OUT / "libfaults.so"
    # Elsewhere first: others may be loading it.
    fresh = OUT / f"libfaults.so.{os.getpid()}"
    flags = ["-std=gnu11", *STRICT, "-fPIC", "-shared"]
    build("gcc", *flags, FOLDER / "shim.c", "-o", fresh, "-ldl")
    fresh.replace(library)
    return library


def program(language, library):
    """The command, and what it wants of the environment."""
    environment = {
        **os.environ,
        # Exact figures: no caches, and one heap.
        "RUST_BACKTRACE": "0",
        "MALLOC_ARENA_MAX": "1",
        "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0",
    }
    life = OUT / f"life_{language}"
    if language == "c":
        flags = ["-std=c99", "-Wstrict-prototypes", *STRICT]
        build("gcc", *flags, FOLDER / "life.c", "-o", life, library, *RPATH)
    elif language == "cpp":
        build(
            "g++", "-std=c++17", *STRICT, FOLDER / "life.cpp", "-o", life, library, *RPATH
        )
    elif language == "go":
        build("scripts/go.sh", "build-dynamic", life, "tests/faults/life.go")
        environment["LD_LIBRARY_PATH"] = str(LIB)
        environment["LD_PRELOAD"] = str(library)
    elif language == "python":
        environment["PYTHONPATH"] = str(ROOT / "bindings/python/src")
        environment["RUNGROUP_LIBRARY"] = str(LIB / "librungroup.so.0")
        environment["LD_PRELOAD"] = str(library)
        return [ROOT / ".venv/bin/python", FOLDER / "life.py"], environment
    return [life], environment


def one(command, environment, fault, call, rounds):
    """How many calls there were (None: it aborted), and how many errors."""
    status, output = run(*command, fault, call, rounds, env=environment)
    where = f"{fault}, call {call}:"
    aborted = status == -signal.SIGABRT or "SIGABRT: abort" in output  # Go exits with 2
    # The calls that add actors and start a group say RG_ENOMEM instead.
    within = re.search(r"^aborted in \w+$", output, re.M)
    name = fault.split("=")[0]
    if aborted and (name in SOMETIMES or not within and name in ("malloc", "realloc")):
        # Documented: elsewhere the process ends without memory, after a sentence.
        if re.search(r"memory allocation of \d+ bytes failed", output):
            return None, 0
    if status != 0:
        raise Failed(f"{where} exit status {status}\n{output[:2000]}")
    found = re.search(r"(\d+) calls, (\d+) errors\n\Z", output)
    if found is None:
        raise Failed(f"{where} no count\n{output}")
    return int(found[1]), int(found[2])


def sweep(language, command, environment, name, how):
    """A line that says what came of it."""
    fault = how if "=" in how else f"{name}={how}"
    called = fault.split("=")[0]
    first = language == "c" and how == FAULTS[name][0]
    call, tried, aborts, errors = 1, 0, 0, 0
    while True:
        rounds = 15 if ALL or call & (call - 1) == 0 else 0
        calls, seen = one(command, environment, fault, call, rounds)
        if calls is not None and calls < call:
            break
        tried += 1
        aborts += calls is None
        errors += seen > 0
        call += 1 if ALL or first else 1 + call // 3
    # A life that never makes a call proves nothing about it.
    reached = called in SOMETIMES or (tried == 0) == (called in UNREACHED)
    if language == "c" and not reached:
        raise Failed(f"{fault}: {tried} calls were reached")
    return f"{fault}: {tried} calls, {aborts} aborts, {errors} errors"


def imports():
    """Every function that the library imports is in one of the two lists."""
    status, output = run("nm", "-D", "--undefined-only", LIB / "librungroup.so")
    if status != 0:
        raise Failed(output)
    imported = {line.split()[-1].split("@")[0] for line in output.splitlines()}
    cannot = {name for names in CANNOT_FAIL for name in names.split()}
    unknown = sorted(imported - cannot - set(FAULTS))
    if unknown:
        raise Failed(
            f"imported, and nobody says how they fail: {', '.join(unknown)}; add them to "
            "FAULTS in tests/faults/sweep.py and to tests/faults/shim.c, or say in "
            "CANNOT_FAIL why they can't"
        )
    return f"{len(imported)} imports, {len(imported & set(FAULTS))} of them made to fail"


def main():
    language, *only = sys.argv[1:]
    try:
        print(imports())
        if language == "imports":
            return 0
        command, environment = program(language, shim())
    except Failed as failed:
        print(failed)
        return 1
    # Those two are slow to start.
    ways = 1 if language in ("python", "go") and not ALL else None
    faults = [
        (name, how)
        for name, hows in FAULTS.items()
        for how in hows[:ways]
        if not only or name in only
    ]
    passed = failures = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [
            pool.submit(sweep, language, command, environment, *fault) for fault in faults
        ]
        for future in futures:
            try:
                print(future.result(), flush=True)
                passed += 1
            except (Failed, subprocess.TimeoutExpired) as failed:
                print(f"FAILED {failed}", flush=True)
                failures += 1
    print(f"{passed} passed, {failures} failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
