#!/usr/bin/env python3
"""Breaks the library in one place after another, in a copy of the checkout, and
asserts that the tests see each: the model (src/model), without AddressSanitizer or
with it, or else `cargo test` or the programs in C; the races ThreadSanitizer.

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
PROGRAMS = ["sh", "-c", "make -s lib && QUICK=1 scripts/test.sh '^C '"]
THREAD = ["scripts/sanitize.sh", "thread"]

# What is broken; the file; the text there, and what is put in its place.
SHELL = [
    (
        "latch: the descriptor is readable before the flag is set",
        "src/latch.rs",
        "        self.flag.set(1);\n        // Pairs with",
        """        if let Some(event) = self.event.get() {
            event.signal();
        }
        self.flag.set(1);
        // Pairs with""",
    ),
    (
        "latch: a descriptor made late does not look at the flag",
        "src/latch.rs",
        "        if self.is_set() {\n            // It may",
        "        if false {\n            // It may",
    ),
    (
        "latch: setting it makes no descriptor readable",
        "src/latch.rs",
        """        if let Some(event) = Event::made(&self.event) {
            event.signal();
        }
""",
        "",
    ),
    (
        "word: setting it looks for waiters before the change",
        "src/sys/futex.rs",
        """        self.value.store(value, Ordering::SeqCst);
        self.wake(usize::MAX);
""",
        """        let waiters = self.waiters.load(Ordering::SeqCst);
        self.value.store(value, Ordering::SeqCst);
        if waiters > 0 {
            self.wake(usize::MAX);
        }
""",
    ),
    (
        "word: who waits is counted too late",
        "src/sys/futex.rs",
        """            self.waiters.fetch_add(1, Ordering::SeqCst);
            self.wait_for_change(value, deadline);
""",
        """            self.wait_for_change(value, deadline);
            self.waiters.fetch_add(1, Ordering::SeqCst);
""",
    ),
    (
        "word: it wakes without the lock",
        "src/sys/futex.rs",
        """        // asleep by the time that it is free.
        drop(self.lock.lock());
""",
        "        // asleep by the time that it is free.\n",
    ),
    (
        "gate: actors do not wait at it",
        "src/run/gate.rs",
        "let open = self.actors.wait(OPEN, None) == OPEN;",
        "let open = self.actors.get() != CANCELLED;",
    ),
    (
        "gate: cancelled, it lets actors through",
        "src/run/gate.rs",
        "let open = self.actors.wait(OPEN, None) == OPEN;",
        "let open = self.actors.wait(OPEN, None) > CLOSED;",
    ),
    (
        "gate: of a crowd, nobody lets the next one through",
        "src/run/gate.rs",
        "            self.actors.wake(1);\n",
        "",
    ),
    (
        "inbox: the driver looks before it says what it waits for",
        "src/run/inbox.rs",
        """        self.awaited.store(awaited, SeqCst);
        self.head.load(SeqCst) == NONE
""",
        """        let empty = self.head.load(SeqCst) == NONE;
        self.awaited.store(awaited, SeqCst);
        empty
""",
    ),
    (
        "inbox: the last post wakes nobody",
        "src/run/inbox.rs",
        "self.left.fetch_sub(1, SeqCst) == 1",
        "self.left.fetch_sub(1, SeqCst) == 0",
    ),
    (
        "inbox: a post is taken twice",
        "src/run/inbox.rs",
        "matches!(seen, state::OWN | state::ENDING)",
        "matches!(seen, state::OWN | state::ENDING | state::POSTED)",
    ),
    (
        "inbox: the host may post what the library called",
        "src/run/inbox.rs",
        "Caller::Host => seen == state::HOSTED,",
        "Caller::Host => seen == state::HOSTED || seen == state::OWN,",
    ),
    (
        "inbox: a late report of a host's wakes it",
        "src/run/drive.rs",
        "                    self.inbox.wait_for_nothing();\n",
        "",
    ),
    (
        "a return does not wake the driver",
        "src/run/drive.rs",
        "        if wake {\n",
        "        if wake && post == Post::Stop {\n",
    ),
    (
        "a stop does not wake the driver",
        "src/run/drive.rs",
        "        if wake {\n",
        "        if wake && post != Post::Stop {\n",
    ),
    (
        "a stop that comes second returns before stopping is seen",
        "src/run/drive.rs",
        """Outcome::code(code));
        self.stop.set();
""",
        "Outcome::code(code));\n",
    ),
    (
        "the driver looks before it knows what it has seen",
        "src/run/drive.rs",
        """            let seen = self.wakes.get();
            match self.next() {
""",
        """            let next = self.next();
            let seen = self.wakes.get();
            match next {
""",
    ),
    (
        "the first interrupt does not wait for the stop to be seen",
        "src/run/drive.rs",
        """                    // gets here first.
                    self.stop.set();
""",
        "                    // gets here first.\n",
    ),
    (
        "the times of events run backwards",
        "src/run/drive.rs",
        "            Some(_) => state.now_at_last(),\n",
        "            Some(_) => state.now(),\n",
    ),
    (
        "the end does not wait for the observer",
        "src/run/drive.rs",
        "if state.machine.observer_stuck() || state.machine.all_told() {",
        "if code != i32::MIN {",
    ),
    (
        "a timeout is over when the run is: the stuck are joined",
        "src/run/core.rs",
        "            bounded && self.with(stuck)",
        "            false && bounded && self.with(stuck)",
    ),
    (
        "nobody waits for threads at the end of a run",
        "src/run/threads.rs",
        "            self.detach();\n        } else {\n            self.join();",
        "            self.detach();\n        } else {\n            self.detach();",
    ),
    (
        "freeing a group releases what stuck actors use",
        "src/run/core.rs",
        "        if self.with(|machine| machine.outstanding()) == 0 {\n",
        "        {\n",
    ),
    (
        "whoever runs a group does not keep it",
        "src/capi/group.rs",
        "    core.clone().run()\n",
        "    core.run()\n",
    ),
    (
        "a driven actor's return touches the group after the last",
        "src/run/core.rs",
        "(owed > 0).then(|| self.clone())",
        "(owed > usize::MAX).then(|| self.clone())",
    ),
    (
        "the first late report of a host's frees the group",
        "src/run/drive.rs",
        "self.host_owes.fetch_sub(1, SeqCst) == 1",
        "self.host_owes.fetch_sub(1, SeqCst) >= 1",
    ),
    (
        "the last report of a host's does not free the group",
        "src/run/drive.rs",
        "self.host_owes.fetch_sub(1, SeqCst) == 1",
        "self.host_owes.fetch_sub(1, SeqCst) == 0",
    ),
    (
        "a job is used after it was let go",
        "src/run/threads.rs",
        """        post_end(core, thread);
    }
    // SAFETY: the thread's last use of its job.
    unsafe { Job::let_go(job.cast()) };
""",
        """        // SAFETY: none.
        unsafe { Job::let_go(job.cast()) };
        post_end(core, thread);
    }
""",
    ),
    (
        "a job is freed by the first to let go",
        "src/run/threads.rs",
        "if (*job).left.swap(true, Ordering::AcqRel) {",
        "if !(*job).left.swap(true, Ordering::AcqRel) {",
    ),
    (
        "a stuck thread's stack is free before it ends",
        "src/run/threads.rs",
        "        std::mem::forget(self.stack);\n",
        "        drop(self.stack);\n",
    ),
    (
        "a stuck thread on a stack of ours is not kept in mind",
        "src/run/threads.rs",
        "        if self.stack.is_some()\n",
        "        if false\n",
    ),
    (
        "rg_wait returns while the run goes on",
        "src/run/threads.rs",
        """            && core.gate.pass_driver()
        {
""",
        """            && core.gate.pass_driver()
        {
            core.over.set();
""",
    ),
    (
        "an interrupter is not told of work",
        "src/run/interrupter.rs",
        """        self.changes.add(1);
        enough
""",
        "        enough\n",
    ),
    (
        "an interrupter is not told to leave",
        "src/run/interrupter.rs",
        """        self.changes.add(1);
        self.changes.wake(usize::MAX);
""",
        "",
    ),
    (
        "an interrupter is told of work before there is any",
        "src/run/interrupter.rs",
        """        let mut queue = self.queue.lock();
        queue.calls.push_back(call);
        let enough = queue.threads >= queue.busy + queue.calls.len();
        tsan::release(self);
        drop(queue);
        self.changes.add(1);
""",
        """        self.changes.add(1);
        let mut queue = self.queue.lock();
        queue.calls.push_back(call);
        let enough = queue.threads >= queue.busy + queue.calls.len();
        drop(queue);
""",
    ),
    (
        "an interrupter that is stuck is joined",
        "src/run/threads.rs",
        "let stuck = calls_left || thread",
        "let stuck = false && thread",
    ),
    (
        "an interrupt that hangs holds up the next",
        "src/run/interrupter.rs",
        "Some(then) if then > now() => Some(then),",
        "Some(then) => Some(then),",
    ),
    (
        "an interrupt is called while the one before is in progress",
        "src/run/interrupter.rs",
        "queue.latest = call;",
        "queue.latest = None;",
    ),
    (
        "a host's descriptor is drained after the look",
        "src/run/drive.rs",
        """        if let Some(event) = Descriptor::made(&self.wake_event) {
            // First drained, then looked: what comes between is not lost.
            event.drain();
        }
        let next = self.next();
""",
        """        let next = self.next();
        if let Some(event) = Descriptor::made(&self.wake_event) {
            event.drain();
        }
""",
    ),
    (
        "nothing makes a host's descriptor readable",
        "src/run/drive.rs",
        """        self.wakes.add(1);
        if let Some(event) = Descriptor::made(&self.wake_event) {
            event.signal();
        }
""",
        "        self.wakes.add(1);\n",
    ),
]

MACHINE = [
    (
        "machine: a later return is the cause",
        "src/machine/mod.rs",
        "        if self.phase == Phase::Running {\n            let cause",
        "        {\n            let cause",
    ),
    (
        "machine: one interrupt less",
        "src/machine/mod.rs",
        "(self.handed_out < count).then(",
        "(self.handed_out + 1 < count).then(",
    ),
    (
        "machine: reverse is not",
        "src/machine/mod.rs",
        "            Order::Reverse | Order::Staged => count - 1 - self.handed_out,\n",
        "            Order::Reverse | Order::Staged => self.handed_out,\n",
    ),
    (
        "machine: staged does not wait for the execute",
        "src/machine/mod.rs",
        "                    && (self.order != Order::Staged || record.returned.is_some())\n",
        "",
    ),
    (
        "machine: it finishes with something open",
        "src/machine/mod.rs",
        "if self.outstanding == 0 && self.all_told() {",
        "if self.outstanding <= 1 && self.all_told() {",
    ),
    (
        "machine: the last return does not wake",
        "src/machine/mod.rs",
        "            None if self.phase == Phase::Stopping => Awaited::Last,\n",
        "            None if self.phase == Phase::Stopping => Awaited::Start(0),\n",
    ),
    (
        "machine: staged is not woken by the execute",
        "src/machine/mod.rs",
        "                Awaited::Execute(index)\n",
        "                Awaited::Interrupt(index)\n",
    ),
    (
        "machine: the grace is twice as long",
        "src/machine/mod.rs",
        "        Some(self.stopping_at.saturating_add(grace))\n",
        "        Some(self.stopping_at.saturating_add(2 * grace))\n",
    ),
    (
        "machine: a stop replaces the cause",
        "src/machine/mod.rs",
        "if self.cause.is_some() || matches!(self.phase, Phase::Finished(_)) {",
        "if matches!(self.phase, Phase::Finished(_)) {",
    ),
    (
        "machine: a return is taken twice",
        "src/machine/mod.rs",
        "if record.returned.is_some() || (finished",
        "if (record.returned.is_some() && finished) || (finished",
    ),
    (
        "machine: the report changes after the end",
        "src/machine/mod.rs",
        """            // The report stays as it was when the run ended.
            return Ok(());
""",
        """            record.outcome = Some(outcome);
            return Ok(());
""",
    ),
    (
        "machine: a thread that is about to end is no stuck one",
        "src/machine/mod.rs",
        "                thread: !returned && record.ending,\n",
        "                thread: false,\n",
    ),
]

RACES = [
    (
        "race: the machine is used when its lock is free again",
        "src/run/core.rs",
        "        look(&mut self.state().machine)\n",
        """        let machine = {
            let mut state = self.state();
            &raw mut state.machine
        };
        #[allow(unsafe_code)]
        look(unsafe { &mut *machine })
""",
    ),
    (
        "race: the second to let go of a job does not come after the first",
        "src/run/threads.rs",
        "if (*job).left.swap(true, Ordering::AcqRel) {",
        "if (*job).left.swap(true, Ordering::Relaxed) {",
    ),
    (
        "race: who waits for a word does not come after who sets it",
        "src/sys/futex.rs",
        """        self.value.store(value, Ordering::SeqCst);
        self.wake(usize::MAX);
""",
        """        self.value.store(value, Ordering::Relaxed);
        self.wake(usize::MAX);
""",
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
        (SHELL, [LATCH, GROUP, ADDRESS, CARGO, PROGRAMS]),
        (MACHINE, [CARGO]),
        (RACES, [THREAD]),
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
