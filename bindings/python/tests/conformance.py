"""Reads the shared table and plays its cases; see tests/conformance/README.md.

A case is played in one of three ways: `threads` (run, actors on threads), `mixed`
(run_async, actors on threads), `coroutines` (run_async, actors are coroutines).
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from dataclasses import dataclass, field

import rungroup
from rungroup import _ffi

FEATURES = {"message", "misuse", "nested", "null", "panic", "process"}
KNOWN = FEATURES | {"async", "codes", "complain", "handles", "stack", "threads"}


@dataclass
class ActorSpec:
    label: str
    asynchronous: bool = False
    execute: list = field(default_factory=lambda: ["wait-stop", "return 0"])
    interrupt: list = field(default_factory=list)
    name: str = ""
    missing: str = ""
    refused: str = ""
    on: list = field(default_factory=list)


@dataclass
class GroupSpec:
    grace: float | None = None
    order: str = "added"
    before: list = field(default_factory=list)
    after: list = field(default_factory=list)
    outside: list = field(default_factory=list)
    expects: list = field(default_factory=list)
    actors: list = field(default_factory=list)


@dataclass
class Case:
    name: str
    rule: str = ""
    proves: str = ""
    needs: list = field(default_factory=list)
    parent: GroupSpec = field(default_factory=GroupSpec)
    child: GroupSpec | None = None


def script(text):
    return [part.strip() for part in text.split(";") if part.strip()]


def read(path):
    cases = []
    group = actor = None
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, _, rest = line.partition(" ")
        rest = rest.strip()
        if key == "case":
            cases.append(Case(rest))
            group, actor = cases[-1].parent, None
        elif key in ("rule", "proves"):
            setattr(cases[-1], key, rest)
        elif key == "needs":
            cases[-1].needs = rest.split()
            assert set(cases[-1].needs) <= KNOWN, line
        elif key == "group":
            group = cases[-1].child = GroupSpec()
        elif key == "grace":
            group.grace = int(rest) / 1000
        elif key == "order":
            group.order = rest
        elif key in ("before", "after"):
            setattr(group, key, script(rest))
        elif key == "outside":
            group.outside.append(script(rest))
        elif key == "expect":
            group.expects.append(rest)
        elif key == "actor":
            label, _, kind = rest.partition(" ")
            actor = ActorSpec(label, kind == "async", name=label)
            group.actors.append(actor)
        elif key in ("execute", "interrupt"):
            setattr(actor, key, script(rest))
        elif key == "named":
            actor.name = rest
        elif key == "long-name":
            actor.name = "n" * int(rest)
        elif key == "without":
            actor.missing = rest
        elif key == "refused":
            actor.refused = rest
        elif key == "on":
            actor.on = rest.split()
        elif key not in ("start", "stack"):  # of features that are not claimed
            raise ValueError(f"unknown line: {line}")
    for case in cases:
        assert case.rule and case.proves, case
    return cases


def number(word):
    return getattr(_ffi, word) if word.startswith("RG_") else int(word)


def code_of(error):
    """The C interface's code for what Python raises."""
    if error is None:
        return 0
    if isinstance(error, rungroup.Error):
        return error.code
    if isinstance(error, (TypeError, ValueError)):
        return _ffi.RG_EINVAL
    return _ffi.RG_EPANIC


class Cheese(Exception):
    """What a script's panic raises."""


class Gates:
    def __init__(self):
        self.changed = threading.Condition()
        self.opened = set()
        self.loops = []

    def open(self, gate):
        with self.changed:
            self.opened.add(gate)
            self.changed.notify_all()

    def wait(self, gate):
        with self.changed:
            self.changed.wait_for(lambda: gate in self.opened)

    async def wait_async(self, gate):
        # A coroutine can't block: it gives the others their turn until it is open.
        while gate not in self.opened:
            await asyncio.sleep(0.001)


class Playing:
    """One group of a case."""

    def __init__(self, test, spec, child=None):
        self.test, self.spec, self.child = test, spec, child
        self.group = rungroup.Group(grace=spec.grace, order=spec.order)
        self.lock = threading.Lock()
        self.left = set()
        self.executes = {}
        self.interrupts = {}
        self.causes = []
        self.order = []
        self.threads = []
        self.active = 0
        self.overlap = False
        self.error = None
        self.indices = []
        for actor in spec.actors:
            try:
                self.add(actor)
            except Exception as error:
                assert actor.refused, f"{actor.label} was refused: {error!r}"
                assert code_of(error) == number(actor.refused), repr(error)
            else:
                assert not actor.refused, f"{actor.label} was not refused"
                self.indices.append(actor)

    def index(self, label):
        return [actor.label for actor in self.indices].index(label)

    def add(self, actor):
        if actor.on:
            self.group.add_signals(*(getattr(signal, name) for name in actor.on))
            return
        if self.test.coroutines:
            execute, interrupt = self.coroutine(actor)
        else:
            execute, interrupt = self.functions(actor)
        if actor.missing == "execute":
            execute = None
        if actor.missing == "interrupt":
            interrupt, inner = None, execute
            execute = lambda: inner()  # noqa: E731
        self.group.add(execute, interrupt, name=actor.name)

    # ---- an actor's functions ----

    def enter(self, actor):
        with self.lock:
            self.executes[actor.label] = self.executes.get(actor.label, 0) + 1
            self.threads.append(threading.get_ident())

    def enter_interrupt(self, actor, cause):
        known = self.group.cause
        with self.lock:
            self.interrupts[actor.label] = self.interrupts.get(actor.label, 0) + 1
            self.order.append(actor.label)
            self.causes.append((cause, known))
            self.overlap = self.overlap or self.active > 0
            self.active += 1

    def leave_interrupt(self):
        with self.lock:
            self.active -= 1

    def functions(self, actor):
        def execute():
            self.enter(actor)
            try:
                return self.play(actor.execute)
            finally:
                self.left.add(actor.label)

        def interrupt(cause):
            self.enter_interrupt(actor, cause)
            try:
                self.play(actor.interrupt)
            finally:
                self.leave_interrupt()

        return execute, interrupt

    def coroutine(self, actor):
        async def execute():
            self.enter(actor)
            try:
                return await self.play_async(actor.execute)
            finally:
                self.left.add(actor.label)

        async def interrupt(cause):
            self.enter_interrupt(actor, cause)
            try:
                await self.play_async(actor.interrupt)
            finally:
                self.leave_interrupt()

        return execute, interrupt

    # ---- scripts ----

    def play(self, actions):
        for action in actions:
            verb, _, rest = action.partition(" ")
            if verb == "wait":
                self.test.gates.wait(rest)
            elif verb == "wait-stop":
                assert self.group.stop_token.wait()
            elif verb == "wait-fd":
                poller = select.poll()
                poller.register(self.group.stop_fd, select.POLLIN)
                assert poller.poll()
            elif verb == "run-child":
                try:
                    self.child.group.run()
                except BaseException as error:
                    self.child.error = error
                return rungroup.Code(code_of(self.child.error))
            elif self.act(verb, rest):
                return rungroup.Code(int(rest))
        return 0

    async def play_async(self, actions):
        for action in actions:
            verb, _, rest = action.partition(" ")
            if verb == "wait":
                await self.test.gates.wait_async(rest)
            elif verb in ("wait-stop", "wait-fd"):
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                fd = os.dup(self.group.stop_fd)  # several may wait: one reader each
                loop.add_reader(fd, lambda f=future: f.done() or f.set_result(None))
                try:
                    await future
                finally:
                    loop.remove_reader(fd)
                    os.close(fd)
            elif verb == "run-child":
                try:
                    await self.child.group.run_async()
                except BaseException as error:
                    self.child.error = error
                return rungroup.Code(code_of(self.child.error))
            elif self.act(verb, rest):
                return rungroup.Code(int(rest))
        return 0

    def act(self, verb, rest):
        """What never waits; true for a return."""
        if verb == "return":
            return True
        if verb == "open":
            self.test.gates.open(rest)
        elif verb == "fail":
            code, _, text = rest.partition(" ")
            raise rungroup.Failure(number(code), text)
        elif verb == "panic":
            raise Cheese(rest)
        elif verb == "stop":
            self.group.stop(number(rest))
        elif verb == "stop-child":
            self.child.group.stop(number(rest))
        elif verb == "raise":
            os.kill(os.getpid(), getattr(signal, rest))
        elif verb == "check":
            what, _, which = rest.partition(" ")
            self.check(what, which)
        elif verb == "try":
            self.misuse(*rest.split())
        else:
            raise AssertionError(f"unknown action {verb}")
        return False

    def check(self, what, which):
        readable = select.select([self.group.stop_fd], [], [], 0)[0]
        stopping = self.group.stopping and self.group.stop_token.wait(0)
        gates = self.test.gates.opened
        good = {
            "stopping": lambda: stopping,
            "not-stopping": lambda: not stopping,
            "fd": lambda: readable,
            "not-fd": lambda: not readable,
            "open": lambda: which in gates,
            "closed": lambda: which not in gates,
            "left": lambda: which in self.left,
            "not-left": lambda: which not in self.left,
        }[what]()
        if not good:
            self.test.complain(f"check {what} {which} failed")

    def misuse(self, what, expected):
        calls = {
            "add": lambda: self.group.add(lambda: None, lambda: None),
            "run": self.run_again,
            # Settings of the constructor: there is no call that could come too late.
            "grace": lambda: self.raw("rg_set_grace", 1),
            "order": lambda: self.raw("rg_set_order", 1),
            "bad-order": lambda: rungroup.Group(order="sideways"),
        }
        try:
            calls[what]()
        except Exception as error:
            if code_of(error) != number(expected):
                self.test.complain(f"try {what} gave {error!r}")
        else:
            self.test.complain(f"try {what} was not refused")

    def run_again(self):
        if not self.test.coroutines or asyncio._get_running_loop() is None:
            self.group.run()
            return
        coroutine = self.group.run_async()
        try:
            coroutine.send(None)
        finally:
            coroutine.close()

    def raw(self, name, value):
        from rungroup import _errors

        result = getattr(_ffi.lib, name)(self.group._pointer, value)
        _errors.check(result, name)

    # ---- comparing ----

    def compare(self):
        complain, group = self.test.complain, self.group
        report = group.report
        nothing = "nothing" in self.spec.expects
        overlap = "overlap" in self.spec.expects
        stuck = {}
        for expect in self.spec.expects:
            what, _, rest = expect.partition(" ")
            words = rest.split(" ", 2)
            cause = group.cause
            if what == "code":
                if code_of(self.error) != number(rest):
                    complain(f"run gave {self.error!r}, not {rest}")
            elif what == "cause" and rest == "none":
                if cause is not None:
                    complain(f"the cause is {cause}")
            elif what == "cause":
                outside = words[0] == "outside"
                index = -1 if outside else self.index(words[0])
                text = words[2] if len(words) > 2 else ""
                actor = None if outside else self.indices[index].name
                if (
                    cause is None
                    or (cause.index, cause.actor) != (index, actor)
                    or cause.code != number(words[1])
                    or text not in cause.message
                ):
                    complain(f"the cause is {cause}, not {rest}")
            elif what == "interrupted":
                if self.order != rest.split():
                    complain(f"interrupted: {self.order}")
            elif what == "result":
                entry = report.actors[self.index(words[0])]
                text = words[2] if len(words) > 2 else ""
                if entry.code != number(words[1]) or text not in entry.message:
                    complain(f"{words[0]}: {entry}")
            elif what == "complaint":
                words = rest.split(" ", 1)
                entry = report.actors[self.index(words[0])]
                text = words[1] if len(words) > 1 else ""
                if not entry.complaint or text not in entry.complaint:
                    complain(f"{words[0]} complained {entry.complaint!r}")
            elif what == "stuck":
                stuck[words[0]] = words[1]
            elif what not in ("overlap", "nothing"):
                raise AssertionError(f"unknown expect {what}")
        if self.overlap != overlap:
            complain(f"overlap: {self.overlap}")
        for index, actor in enumerate(self.indices):
            entry = report.actors[index]
            state = (
                "added"
                if nothing
                else "running"
                if stuck.get(actor.label) in ("execute", "both")
                else "raised"
                if entry.code == _ffi.RG_EPANIC
                else "returned"
            )
            if entry.stuck != stuck.get(actor.label, "") or entry.state != state:
                complain(f"{actor.label}: {entry}")
            name = "signals" if actor.on else actor.name
            if entry.name != name:
                complain(f"{actor.label} is named {entry.name}")
        for given, known in self.causes:
            if given != known or given != group.cause:
                complain(f"interrupted with {given}, cause {group.cause}")
        if not self.test.coroutines and len(set(self.threads)) != len(self.threads):
            # Identities may be used again, but not by threads that live together.
            if self.test.together(self.spec):
                complain("two actors had one thread")

    def counts(self):
        times = 0 if "nothing" in self.spec.expects else 1
        for actor in self.indices:
            if actor.on:
                continue
            counted = [d.get(actor.label, 0) for d in (self.executes, self.interrupts)]
            if counted != [times, times]:
                self.test.complain(f"{actor.label}: execute, interrupt: {counted}")


class Test:
    """One case in one way."""

    def __init__(self, case, way):
        self.coroutines = way == "coroutines"
        self.way = way
        self.case = case
        self.gates = Gates()
        self.complaints = []
        self.child = Playing(self, case.child) if case.child else None
        self.parent = Playing(self, case.parent, self.child)

    def complain(self, text):
        self.complaints.append(text)

    @staticmethod
    def together(spec):
        """Whether every execute waits for the stop, so that all live at once."""
        waits = [actor.execute[0] == "wait-stop" for actor in spec.actors]
        return waits.count(False) <= 1

    def outside(self):
        threads = []
        for actions in self.case.parent.outside:
            thread = threading.Thread(
                target=self.parent.play, args=(actions,), daemon=True
            )
            threads.append((thread, "wait end" in actions))
            thread.start()
        return threads

    def state(self):
        numbers = [n for n in signal.valid_signals() if n not in (9, 19)]
        handlers = {n: signal.getsignal(n) for n in numbers}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return handlers, mask, os.getcwd(), signal.set_wakeup_fd(-1)

    def play(self):
        before = self.state()
        parent = self.parent
        parent.play(self.case.parent.before)
        if self.way == "threads":
            outside = self.outside()
            try:
                parent.group.run()
            except BaseException as error:
                parent.error = error
            self.conclude(before, outside)
        else:
            asyncio.run(self.play_in_loop(before))
        self.join_all()
        parent.counts()
        if self.child:
            self.child.counts()
        return self.complaints

    async def play_in_loop(self, before):
        outside = self.outside()
        before = (*before[:3], self.state()[3])
        try:
            await self.parent.group.run_async()
        except BaseException as error:
            self.parent.error = error
        self.conclude((self.state()[0], *before[1:]), outside)
        # Stuck coroutines are let go in their loop.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    def conclude(self, before, outside):
        if self.state() != before:
            self.complain("the process is not as before")
        self.parent.play(self.case.parent.after)
        for thread, waits in outside:
            if not waits:
                thread.join()
        self.parent.compare()
        if self.child:
            self.child.compare()
        self.gates.open("end")
        for thread, _ in outside:
            thread.join()

    def join_all(self):
        """Until the stuck ones, let go, are gone."""
        for playing in (self.parent, self.child):
            run = playing and playing.group._run
            if run:
                for thread in run.threads.values():
                    thread.join()
                for interrupter in run.interrupters:
                    interrupter.thread.join()
