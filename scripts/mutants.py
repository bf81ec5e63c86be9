#!/usr/bin/env python3
"""Breaks the library in one place after another, in a copy of the checkout, and
asserts that the tests see each: the model (src/model), without AddressSanitizer or
with it, or else `cargo test`; the races helgrind.

    mutants.py [WORD]     only those whose description contains WORD
    mutants.py --check    only whether the sources still have what is to be broken
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build/mutants"
TARGET = COPY / "target"  # not shared: cargo would take one build for the other
HANGS = 1200  # seconds
LATCH, GROUP = ["scripts/model.sh", "latch"], ["scripts/model.sh", "group"]
ADDRESS = ["scripts/model.sh", "address", "group"]
CARGO = ["cargo", "--locked", "test"]
HELGRIND = ["scripts/sanitize.sh", "helgrind"]

# What is broken; the file; the text there, and what is put in its place.
SHELL = [
    (
        "latch: the descriptor is readable before the flag is set",
        "src/stop.rs",
        """        self.flag.set(1);
        if let Some(event) = &*event {
            event.signal();
        }
""",
        """        if let Some(event) = &*event {
            event.signal();
        }
        self.flag.set(1);
""",
    ),
    (
        "latch: the second to set it does not wait for the first",
        "src/stop.rs",
        "        let event = self.event.lock();\n        if self.is_set()",
        "        if self.is_set() {\n            return;\n        }\n"
        "        self.flag.set(1);\n"
        "        let event = self.event.lock();\n        if false",
    ),
    (
        "latch: a descriptor made late does not look at the flag",
        "src/stop.rs",
        "if self.is_set() {\n            new.signal();",
        "if false {\n            new.signal();",
    ),
    (
        "latch: setting it makes no descriptor readable",
        "src/stop.rs",
        "        if let Some(event) = &*event {\n            event.signal();\n        }\n",
        "        let _ = event;\n",
    ),
    (
        "word: setting it looks for waiters before the change",
        "src/ffi/os.rs",
        """        self.value.store(value, Ordering::SeqCst);
        self.wake(count);
""",
        """        let waiters = self.waiters.load(Ordering::SeqCst);
        self.value.store(value, Ordering::SeqCst);
        if waiters > 0 {
            self.wake(count);
        }
""",
    ),
    (
        "word: who waits is counted too late",
        "src/ffi/os.rs",
        """            self.waiters.fetch_add(1, Ordering::SeqCst);
            self.wait_for_change(value, deadline);
""",
        """            self.wait_for_change(value, deadline);
            self.waiters.fetch_add(1, Ordering::SeqCst);
""",
    ),
    (
        "word: it wakes without the lock",
        "src/ffi/os.rs",
        "        drop(self.lock.lock());\n",
        "",
    ),
    (
        "gate: actors do not wait at it",
        "src/runner/gate.rs",
        "self.actors.wait(OPEN, None) == OPEN",
        "self.actors.get() != CANCELLED",
    ),
    (
        "gate: cancelled, it lets actors through",
        "src/runner/gate.rs",
        "self.actors.wait(OPEN, None) == OPEN",
        "self.actors.wait(OPEN, None) > CLOSED",
    ),
    (
        "gate: of a crowd, nobody lets the next one through",
        "src/runner/gate.rs",
        "            self.actors.wake(1);\n",
        "",
    ),
    (
        "the driver is woken before the state has changed",
        "src/runner/mod.rs",
        """        let mut state = self.state.lock();
        let now = state.now();
        let effect = state.machine.returned(index, outcome, now)?;
""",
        """        self.wake_driver(true);
        let mut state = self.state.lock();
        let now = state.now();
        let mut effect = state.machine.returned(index, outcome, now)?;
        effect.wake = false;
""",
    ),
    (
        "a return does not wake the driver",
        "src/runner/mod.rs",
        "        if effect.wake {\n",
        "        if effect.first {\n",
    ),
    (
        "a stop does not wake the driver",
        "src/runner/mod.rs",
        "            wake: state.machine.stop(code, now),\n",
        "            wake: state.machine.stop(code, now) && false,\n",
    ),
    (
        "rg_stop returns before stopping is seen",
        "src/runner/mod.rs",
        """        let effect = Effect {
            first: true,
            wake: state.machine.stop(code, now),
""",
        """        let began = state.machine.stop(code, now);
        let effect = Effect {
            first: began,
            wake: began,
""",
    ),
    (
        "the driver waits without saying so",
        "src/runner/mod.rs",
        "                    state.waiting = true;\n",
        "",
    ),
    (
        "the first interrupt does not wait for the stop to be seen",
        "src/runner/mod.rs",
        "                // gets here first.\n                self.stop.set();\n",
        "                // gets here first.\n",
    ),
    (
        "a timeout is over when the run is: the stuck are joined",
        "src/runner/mod.rs",
        "            if bounded && self.with(",
        "            if false && self.with(",
    ),
    (
        "nobody waits for threads at the end of a run",
        "src/runner/mod.rs",
        "                thread.detach();\n            } else {\n                thread.join();",
        "                thread.detach();\n            } else {\n                thread.detach();",
    ),
    (
        "freeing a group releases what stuck actors use",
        "src/runner/mod.rs",
        "        if self.with(|machine| machine.outstanding()) == 0 {\n",
        "        {\n",
    ),
    (
        "whoever runs a group does not keep it",
        "src/ffi/handle.rs",
        """        let shared = share(handle);
        shared.run()""",
        """        // SAFETY: none.
        let shared = unsafe { Arc::from_raw(handle.cast::<Shared>()) };
        let shared = std::mem::ManuallyDrop::new(shared);
        shared.run()""",
    ),
    (
        "a driven actor's return touches the group after the last",
        "src/ffi/handle.rs",
        """        let shared = share(handle);
        // SAFETY: NULL or a C string, by the caller's promise.
        let message = unsafe { read_message(message) };
        shared
            .must_be_driven()
            .and_then(|()| shared.returned(index""",
        """        let shared = group(handle);
        // SAFETY: NULL or a C string, by the caller's promise.
        let message = unsafe { read_message(message) };
        shared
            .must_be_driven()
            .and_then(|()| shared.returned(index""",
    ),
    (
        "a completion is looked at after the last",
        "src/runner/mod.rs",
        "    shared.returned(index, outcome).map(drop)\n",
        "    shared.returned(index, outcome)?;\n    drop(shared);\n"
        "    drop(completion.slot().lock().take());\n    Ok(())\n",
    ),
    (
        "a job is used after it was let go",
        "src/runner/thread.rs",
        """    if let Some(shared) = &shared {
        report_end(shared, role);
    }
    // SAFETY: the thread's last use of its job.
    unsafe { Job::let_go(job) };
""",
        """    // SAFETY: the thread's last use of its job.
    unsafe { Job::let_go(job) };
    if let Some(shared) = &shared {
        report_end(shared, role);
    }
""",
    ),
    (
        "a job is freed by the first to let go",
        "src/runner/thread.rs",
        "if (*job).left.swap(true, Ordering::AcqRel) {",
        "if !(*job).left.swap(true, Ordering::AcqRel) {",
    ),
    (
        "a stuck thread's stack is free before it ends",
        "src/runner/thread.rs",
        "        if self.stack.is_some() {\n",
        "        if false {\n",
    ),
    (
        "rg_wait returns while the run goes on",
        "src/runner/thread.rs",
        "            && shared.gate.pass_driver()\n        {\n",
        "            && shared.gate.pass_driver()\n        {\n            shared.over.set();\n",
    ),
    (
        "a helper is not told of work",
        "src/runner/helper.rs",
        "        desk.posted = Some(index);\n        self.changed.notify_one();\n",
        "        desk.posted = Some(index);\n",
    ),
    (
        "a helper is not told to leave",
        "src/runner/helper.rs",
        "        self.desk.lock().closed = true;\n        self.changed.notify_one();\n",
        "        self.desk.lock().closed = true;\n",
    ),
    (
        "a helper is told of work before there is any",
        "src/runner/helper.rs",
        """        let mut desk = self.desk.lock();
        if desk.busy || desk.closed {
            return false;
        }
        desk.busy = true;
        desk.posted = Some(index);
        self.changed.notify_one();
        true
""",
        """        self.changed.notify_one();
        let mut desk = self.desk.lock();
        if desk.busy || desk.closed {
            return false;
        }
        desk.busy = true;
        desk.posted = Some(index);
        true
""",
    ),
    (
        "a helper that is stuck is joined",
        "src/runner/helper.rs",
        "            if helper.busy() {\n",
        "            if false {\n",
    ),
    (
        "work is given to a helper that is stuck",
        "src/runner/helper.rs",
        "        if desk.busy || desk.closed {\n",
        "        if desk.closed {\n",
    ),
    (
        "a host's descriptor is drained after the look",
        "src/runner/mod.rs",
        """        if let Some(wakes) = self.wakes.get() {
            // First drained, then looked: what comes between is not lost.
            wakes.drain();
        }
        loop {
            match self.advance(Driver::Host, now.take()) {
""",
        """        loop {
            let next = self.advance(Driver::Host, now.take());
            if let Some(wakes) = self.wakes.get() {
                wakes.drain();
            }
            match next {
""",
    ),
    (
        "a stop does not make a host's descriptor readable",
        "src/runner/mod.rs",
        "            self.changed.notify_one();\n"
        "        } else if let Some(wakes) = self.wakes.get() {\n"
        "            wakes.signal();\n        }\n",
        "            self.changed.notify_one();\n        }\n",
    ),
]

MACHINE = [
    (
        "machine: a later return is the cause",
        "src/machine.rs",
        "        let first = self.phase == Phase::Running;\n        if first {",
        "        let first = true;\n        if first {",
    ),
    (
        "machine: one interrupt less",
        "src/machine.rs",
        "(self.handed_out < count).then(",
        "(self.handed_out + 1 < count).then(",
    ),
    (
        "machine: reverse is not",
        "src/machine.rs",
        "            Order::Reverse | Order::Staged => count - 1 - self.handed_out,\n",
        "            Order::Reverse | Order::Staged => self.handed_out,\n",
    ),
    (
        "machine: staged does not wait for the execute",
        "src/machine.rs",
        "record.interrupted.is_some() && (self.order != Order::Staged"
        " || record.returned.is_some())",
        "record.interrupted.is_some()",
    ),
    (
        "machine: it finishes with something open",
        "src/machine.rs",
        "        if self.outstanding == 0 {\n            let code",
        "        if self.outstanding <= 1 {\n            let code",
    ),
    (
        "machine: the last return does not wake",
        "src/machine.rs",
        "            wake: first || last || awaited",
        "            wake: first || awaited",
    ),
    (
        "machine: the grace is from the end of the interrupts",
        "src/machine.rs",
        "            .map(|grace| self.stopping_at.saturating_add(grace))",
        "            .map(|grace| self.stopping_at.saturating_add(2 * grace))",
    ),
    (
        "machine: a stop replaces the cause",
        "src/machine.rs",
        "if self.cause.is_some() || matches!(self.phase, Phase::Finished(_)) {",
        "if matches!(self.phase, Phase::Finished(_)) {",
    ),
    (
        "machine: a return is taken twice",
        "src/machine.rs",
        "        if record.returned.is_some() {\n            return Err(Error::State);",
        "        if record.returned.is_some() && finished {\n            return Err(Error::State);",
    ),
    (
        "machine: last is not said after a timeout",
        "src/machine.rs",
        """            // The report stays as it was when the run ended.
            return Ok(Effect {
                last: self.outstanding == 0,
""",
        """            // The report stays as it was when the run ended.
            return Ok(Effect {
                last: false,
""",
    ),
]

RACES = [
    (
        "race: the machine is used when its lock is free again",
        "src/runner/mod.rs",
        "        look(&mut self.state.lock().machine)\n",
        "        let machine = {\n            let mut state = self.state.lock();\n"
        "            &raw mut state.machine\n        };\n"
        "        #[allow(unsafe_code)]\n"
        "        look(unsafe { &mut *machine })\n",
    ),
    (
        "race: a helper is looked at without its lock",
        "src/runner/helper.rs",
        "        self.desk.lock().busy\n    }",
        "        let busy = {\n            let desk = self.desk.lock();\n"
        "            &raw const desk.busy\n        };\n"
        "        #[allow(unsafe_code)]\n"
        "        unsafe { *busy }\n    }",
    ),
    (
        "race: the second to let go of a job does not come after the first",
        "src/runner/thread.rs",
        "if (*job).left.swap(true, Ordering::AcqRel) {",
        "if (*job).left.swap(true, Ordering::Relaxed) {",
    ),
    (
        "race: who waits for a word does not come after who sets it",
        "src/ffi/os.rs",
        "        self.value.store(value, Ordering::SeqCst);\n",
        "        self.value.store(value, Ordering::Relaxed);\n",
    ),
    (
        "race: two locks in either order",
        "src/runner/mod.rs",
        "        let actors = self.actors.lock();\n"
        "        actors[index].as_ref().map(|actor| actor.calls)\n",
        "        let actors = self.actors.lock();\n"
        "        let _state = self.state.lock();\n"
        "        actors[index].as_ref().map(|actor| actor.calls)\n",
    ),
]


def sees(command: list[str]) -> str:
    """What the first failure says of the mutant; empty: the tests see nothing."""
    # A session of its own: what it has started is ended with it.
    process = subprocess.Popen(
        command,
        cwd=COPY,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    watchdog = threading.Timer(HANGS, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    said = []
    for line in process.stdout:
        said.append(line)
        if "ERROR: AddressSanitizer" in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
        # Some of cargo's tests panic and pass.
        if command is not CARGO and " panicked at " in line:
            said.append(process.stdout.readline())
            os.killpg(process.pid, signal.SIGKILL)
            break
    watched = watchdog.is_alive()
    watchdog.cancel()
    if process.wait() == 0:
        return ""
    output = "".join(said)
    if "error: could not compile" in output:
        sys.exit(f"the mutant does not compile:\n{output}")
    if not watched:
        return "hangs"
    if command is not CARGO and (" panicked at " in output or "ERROR: Addr" in output):
        return said[-1].strip()
    return next((line.strip() for line in said if "FAIL" in line), "fails")


def check() -> None:
    for name, path, old, _ in SHELL + MACHINE + RACES:
        if (count := (ROOT / path).read_text().count(old)) != 1:
            sys.exit(f"{name}: {path} has the text {count} times; say it anew")


def main() -> None:
    check()
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word == "--check":
        return
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, files):
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, COPY / name)
        shutil.copymode(ROOT / name, COPY / name)
    killed = survived = 0
    suites = [
        (SHELL, [LATCH, GROUP, ADDRESS, CARGO]),
        (MACHINE, [CARGO]),
        (RACES, [HELGRIND]),
    ]
    for name, path, old, new, commands in (
        (*mutant, commands) for mutants, commands in suites for mutant in mutants
    ):
        if word not in name:
            continue
        text = (ROOT / path).read_text()
        (COPY / path).write_text(text.replace(old, new))
        for command in commands:
            if how := sees(command):
                killed += 1
                print(f"ok {name}\n   {' '.join(command)}: {how}", flush=True)
                break
        else:
            survived += 1
            print(f"FAIL {name}\n   nothing sees it", flush=True)
        (COPY / path).write_text(text)
    print(f"{killed} passed, {survived} failed")
    sys.exit(survived > 0 or killed == 0)


if __name__ == "__main__":
    main()
