"""Groups of random lives, in several processes at once, of which nothing may grow.

    soak.py [--minutes M | --cycles N] [--hosts c,mixed,...] [--seed S]

--minutes: each host goes on for so long, with groups of any size (1).
--cycles: each host has so many groups, of four actors.

A host is given a number of groups to live, and says when they have. Meanwhile
signals reach it; in between, when nothing of its runs, its threads,
descriptors and memory are compared with those after the first tenth. (What is said
of them: at the start, after the first tenth, at the end.)
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/soak"
WATCHDOG = 120  # seconds without a word from a host


def probes(*languages):
    return [str(ROOT / f"build/plugins/probe_{name}.so") for name in languages]


# Its program and plugins; KiB, threads and descriptors that a runtime may add, once:
# a garbage collector's heap follows its own mind, and Go keeps its threads.
HOSTS = {
    "c": ([BUILD / "host"], probes("c"), (2048, 0, 0)),
    "mixed": ([BUILD / "host"], probes("c", "cpp", "rust", "go"), (24576, 12, 4)),
    "rust": ([BUILD / "rust"], [], (2048, 0, 0)),
    "python": (
        [ROOT / ".venv/bin/python", ROOT / "tests/soak/host.py"],
        probes("c", "cpp", "rust"),
        (8192, 0, 0),
    ),
    "go": ([BUILD / "go"], probes("c", "cpp", "rust"), (24576, 12, 4)),
}


class Grown(Exception):
    pass


class Host:
    """A process, and what it had and has when nothing runs."""

    def __init__(self, name, seed, actors):
        program, plugins, self.slack = HOSTS[name]
        self.name = name
        self.lived = 0
        self.start = self.base = self.now = (0, 0, 0)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "bindings/python/src"),
            "RUNGROUP_LIBRARY": str(ROOT / "build/lib/librungroup.so.0"),
        }
        self.process = subprocess.Popen(
            [*map(str, program), str(seed), str(actors), *plugins],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )
        self.random = random.Random(seed)
        self.failed = None

    def figures(self):
        """KiB resident, threads, descriptors."""
        process = Path(f"/proc/{self.process.pid}")
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines()
        )
        resident = int(status["VmRSS"].split()[0])
        return resident, int(status["Threads"]), len(os.listdir(process / "fd"))

    def live(self, groups):
        """Lets it have so many groups; 0: it is ready for signals."""
        self.process.stdin.write(f"{groups}\n")
        self.process.stdin.flush()
        done = threading.Event()
        disturber = threading.Thread(target=self.disturb, args=(done,))
        if groups:
            disturber.start()
        said = self.process.stdout.readline()
        done.set()
        if groups:
            disturber.join()
        if said.strip() != str(groups):
            raise Grown(f"{self.name} ended, with {self.process.wait()}")
        self.lived += groups

    def disturb(self, done):
        """Signals it, now and then, until the groups have lived; or ends it."""
        until = time.monotonic() + WATCHDOG
        while not done.wait(self.random.uniform(0.01, 0.3)):
            late = time.monotonic() > until
            self.process.send_signal(signal.SIGABRT if late else signal.SIGTERM)

    def rest(self):
        """What was stuck has been let go, and is gone a moment later."""
        until = time.monotonic() + WATCHDOG
        while True:
            self.now = self.figures()
            if not self.base[0]:
                return
            more = [now - base for now, base in zip(self.now, self.base)]
            if all(grown <= slack for grown, slack in zip(more, self.slack)):
                return
            if time.monotonic() > until:
                raise Grown(f"{self.name} grew: {self}")
            time.sleep(0.05)

    def settled_base(self):
        """Threads that are just ending do not count."""
        self.base = self.figures()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            time.sleep(0.05)
            self.base = tuple(map(min, self.base, self.figures()))
        # Memory as it is, and not its least.
        self.base = (self.figures()[0], *self.base[1:])

    def __str__(self):
        resident, threads, descriptors = zip(self.start, self.base, self.now)
        return (
            f"{self.lived} groups, {' -> '.join(map(str, resident))} KiB, "
            f"{' -> '.join(map(str, threads))} threads, "
            f"{' -> '.join(map(str, descriptors))} descriptors"
        )

    def soak(self, goes_on, batch):
        """goes_on(lived) is the part of it that is done, up to 1."""
        try:
            self.live(0)
            self.start = self.figures()
            while True:
                self.live(batch(self.lived))
                done = goes_on(self.lived)
                if not self.base[0] and done >= 0.1:
                    self.settled_base()
                self.rest()
                if done >= 1:
                    break
            self.process.stdin.close()
            if self.process.wait(WATCHDOG) != 0:
                raise Grown(f"{self.name} ended with {self.process.returncode}")
        except (Grown, OSError) as error:
            self.failed = error
        finally:
            self.process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--cycles", type=int)
    parser.add_argument("--hosts", default="mixed,rust,python,go")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6)
    )
    options = parser.parse_args()
    # What a shell starts in the background has this ignored, and would pass it on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = options.hosts.split(",")
    print(f"soak: seed {options.seed}, hosts {', '.join(names)}", flush=True)
    began = time.monotonic()

    def part(lived):
        if options.cycles:
            return lived / options.cycles
        return (time.monotonic() - began) / (60 * options.minutes)

    def batch(lived):
        if options.cycles:
            return max(1, min(options.cycles - lived, options.cycles // 10, 1000))
        return 200

    hosts = [Host(name, options.seed, 4 if options.cycles else 0) for name in names]
    threads = [threading.Thread(target=host.soak, args=(part, batch)) for host in hosts]
    for thread in threads:
        thread.start()
    told = began
    for thread in threads:
        while thread.is_alive():
            thread.join(1)
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                lived = ", ".join(f"{host.name} {host.lived}" for host in hosts)
                print(f"soak: {told - began:.0f} s: {lived} groups", flush=True)
    for host in hosts:
        outcome = f"FAILED: {host.failed}" if host.failed else "flat"
        print(f"soak: {host.name}: {host}: {outcome}")
    failed = [host.name for host in hosts if host.failed]
    spent = time.monotonic() - began
    print(
        f"soak: {spent:.0f} s, {len(hosts) - len(failed)} passed, {len(failed)} failed"
        + (f": again with --seed {options.seed}" if failed else "")
    )
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
