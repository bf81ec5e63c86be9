"""The group."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
import inspect
import logging
import math
import threading
import types
from collections.abc import Callable
from typing import Any, TypeVar

from . import _ffi
from ._errors import Failure, SignalError, StateError, StuckError, check
from ._ffi import Handle, Process, lib, quick
from ._observer import Observer
from ._report import Report
from ._run import Actor, Cause, Run, cause_of, first_of
from ._signals import Bell, SignalActor, Wakeup
from ._stop import StopToken
from ._threads import spawn

F = TypeVar("F", bound=Callable[..., Any])

ORDERS = {
    "added": _ffi.RG_ORDER_ADDED,
    "reverse": _ffi.RG_ORDER_REVERSE,
    "staged": _ffi.RG_ORDER_STAGED,
}

#: Stands in a partial's arguments for one that is still to come (Python 3.14).
PLACEHOLDER = getattr(functools, "Placeholder", object())


def shape(function: Callable[..., Any]) -> tuple[bool, int]:
    """Whether it is an `async def`, and with how many arguments it can be called:
    none if that is possible, else one; 2: it needs several."""
    plain: Any = function
    bound = 0
    if type(plain) is not types.FunctionType:
        if type(plain) is functools.partial and not (plain.keywords or plain.__dict__):
            if not any(argument is PLACEHOLDER for argument in plain.args):
                bound = len(plain.args)
                plain = plain.func
        if type(plain) is types.MethodType:
            bound += 1
            plain = plain.__func__
    if type(plain) is types.FunctionType and not plain.__dict__:
        code = plain.__code__  # what inspect would say, forty times as fast
        flags = code.co_flags
        most = code.co_argcount - bound
        if most >= 0 and not flags & inspect.CO_VARARGS and not code.co_kwonlyargcount:
            least = most - len(plain.__defaults__ or ())
            count = 0 if least <= 0 <= most else 1 if least <= 1 <= most else 2
            return flags & inspect.CO_COROUTINE != 0, count
    return is_coroutine_function(function), arity(function)


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def arity(function: Callable[..., Any]) -> int:
    for count in (0, 1):
        try:
            inspect.signature(function).bind(*[None] * count)
        except TypeError:
            continue
        except ValueError:  # C's do not always say
            return 0
        return count
    return 2


def called(name: str | None, execute: object) -> str:
    """An actor, in a sentence."""
    return f"actor {name or getattr(execute, '__name__', '') or repr(execute)!r}"


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class Group:
    """Actors that live and die together.

    Every actor is an execute and an interrupt. All run at the same time; when
    the first returns, or raises, every one is interrupted, in order, and `run`
    ends once all have returned, with the first one's result. A group runs once.

    grace: seconds that stopping may take; then `run` raises `StuckError` with
        whoever has not returned left behind (rule 10). None: waits for ever.
    order: of interrupts: "added", "reverse", or "staged": reverse, and each
        actor has returned before the next is interrupted (rule 6).
    logger: is told what happens.

    >>> group = Group(grace=5.0)
    >>> @group.actor
    ... def waits(stop):
    ...     stop.wait()
    >>> group.add(lambda: print("working"), lambda cause: None, name="works")
    >>> group.run()
    working
    >>> group.cause.actor
    'works'
    """

    def __init__(
        self,
        *,
        grace: float | None = None,
        order: str = "added",
        logger: logging.Logger | None = None,
    ) -> None:
        if not isinstance(order, str) or order not in ORDERS:
            raise ValueError(f"order is {order!r}; it is one of {', '.join(ORDERS)}")
        if logger is not None and not isinstance(
            logger, (logging.Logger, logging.LoggerAdapter)
        ):
            raise TypeError(f"logger is {logger!r}; it is a logging.Logger")
        milliseconds = -1
        if grace is not None:
            if isinstance(grace, bool) or not isinstance(grace, (int, float)):
                raise TypeError(f"grace is {grace!r}; it is a number of seconds, or None")
            if not grace >= 0 or math.isinf(grace):
                raise ValueError(
                    f"grace is {grace!r}; it is a number of seconds from 0 on, and None "
                    "waits for ever"
                )
            milliseconds = min(math.ceil(grace * 1000), 2**62)
        self._handle = Handle()
        self._pointer = self._handle.pointer
        self._actors: list[Actor | None] = []
        self._added = 0  # to the library's group; the rest follows before the run
        self._adding = threading.Lock()
        self._frozen = False
        self._stop = StopToken(self._handle)
        self._run: Run | None = None
        self._grace = grace
        self._shared = False  # code of C's knows the group
        if grace is not None:
            check(quick.rg_set_grace(self._pointer, milliseconds), "grace")
        if order != "added":
            check(quick.rg_set_order(self._pointer, ORDERS[order]), "order")
        self._observer = None
        if logger is not None:
            self._observer = Observer(self._pointer, logger, self._actors)

    # ---- adding ----

    def add(
        self,
        execute: Callable[..., Any],
        interrupt: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Adds an actor (rule 3).

        execute: does the work, on a thread of its own. If it takes an argument,
            it is handed the `StopToken`. An int that it returns is its code;
            anything else is a clean return, code 0. What it raises is kept, and
            is what `run` raises if it was the first. An `async def` is run as a
            task in the event loop.
        interrupt: makes execute return; is called once, with the `Cause` if it
            needs an argument, also when execute has returned already. It must
            not wait for its execute. None: execute watches the stop token, or
            is a coroutine, which is cancelled. A coroutine's own interrupt may
            be an `async def`; it is called in the event loop.
        name: for the report, and the thread's. None: the function's, or
            "actor-<index>".

        Raises TypeError and ValueError for what can't be an actor, and
        StateError if the group runs or has run. Any thread may call it.
        """
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name is {name!r}; it is a str, or None")
        if not callable(execute):
            hint = "the coroutine function itself" if inspect.isawaitable(execute) else ""
            raise TypeError(
                f"execute of {called(name, execute)} is {execute!r}, which can't be "
                "called: pass " + (hint or "a function") + ", without calling it"
            )
        coroutine, takes_stop = shape(execute)
        takes_cause = 1
        if takes_stop > 1:
            raise TypeError(
                f"execute of {called(name, execute)} needs several arguments: it is "
                "called with none, or with the stop token; use functools.partial for "
                "the others"
            )
        if interrupt is None:
            if not takes_stop and not coroutine:
                raise TypeError(
                    f"{called(name, execute)} has no interrupt and could not be stopped: "
                    "pass one, or let execute take one argument, the stop token"
                )
        elif not callable(interrupt):
            raise TypeError(
                f"interrupt of {called(name, execute)} is {interrupt!r}, which can't be "
                "called: pass a function that takes the cause, or nothing"
            )
        else:
            waits, takes_cause = shape(interrupt)
            if takes_cause > 1:
                raise TypeError(
                    f"interrupt of {called(name, execute)} needs several arguments: it "
                    "is called with the cause, or with none; use functools.partial"
                )
            if waits and not coroutine:
                raise TypeError(
                    f"interrupt of {called(name, execute)} is a coroutine function, but "
                    "its execute runs on a thread: make execute one too, or interrupt "
                    "none"
                )
        default = getattr(execute, "__name__", "")
        actor = Actor(
            name or (default if default != "<lambda>" else ""),
            execute,
            interrupt,
            coroutine,
            takes_stop == 1,
            takes_cause == 1,
        )
        self._add(actor, name)

    def _add(self, actor: Actor, name: str | None) -> None:
        """`name`: what the caller chose; the library says whether that is one."""
        if self._handle.pid != Process.id:
            self._check_process()
        with self._adding:
            if self._frozen:
                raise StateError(
                    f"actor {actor.name or 'unnamed'!r} can't be added: the group runs "
                    "or has run. Add actors before run(), or make another group."
                )
            if name is not None:
                if "\0" in name:
                    raise ValueError(f"name is {name!r}; it can't hold a NUL")
                self._flush(True)
                added = quick.rg_drive_add(self._pointer, _ffi.encode(name))
                check(
                    added, f"actor {name!r} can't be added (a name has at most 255 bytes)"
                )
                self._added += 1
            if not actor.name:
                actor.name = f"actor-{len(self._actors)}"
            self._actors.append(actor)

    def _flush(self, named: bool) -> None:
        """Adds to the library's group the actors that it does not know yet. Their
        names are for C code that asks for them."""
        unknown = self._actors[self._added :]
        if named:
            for actor in unknown:
                assert actor is not None
                if quick.rg_drive_add(self._pointer, _ffi.encode(actor.name)) < 0:
                    check(
                        quick.rg_drive_add(self._pointer, None), "an actor can't be added"
                    )
        else:
            added = quick.rg_drive_add_many(self._pointer, len(unknown))
            check(added, "the group can't be run")
        self._added = len(self._actors)

    def _freeze(self) -> bool:
        """No actors from now on. Whether C code or an observer looks on."""
        told = self._shared or self._observer is not None
        with self._adding:
            self._flush(told)
            self._frozen = True
        return told

    def _thaw(self) -> None:
        """Unless it runs or has run."""
        with self._adding:
            self._frozen = quick.rg_drive_add_many(self._pointer, 0) < 0

    def actor(self, function: F) -> F:
        """Decorator: `add(function)`; it takes the stop token, or is a coroutine."""
        self.add(function)
        return function

    def add_signals(self, *signals: int) -> None:
        """Adds an actor, named "signals", that ends the group when a signal comes.

        `run` then raises `SignalError`. Without arguments: SIGINT and SIGTERM.
        It listens from before the first execute to the first delivery; the
        second Ctrl-C is Python's own again, and makes `run` give up at once. A
        handler that the program set by `signal.signal` is called too. A signal
        that was ignored when the run began stays ignored. `run` may be called
        on any thread.

        Raises ValueError for what is not a signal or can't be caught, MemoryError
        if there is no memory, and StateError if the group runs or has run.
        """
        actor = SignalActor(signals)
        entry = Actor("signals", actor.execute, actor.interrupt)
        entry.signals = actor
        self._add(entry, "signals")

    def add_systemd(self) -> None:
        """Adds an actor, named "systemd", that tells the service manager how we are.

        By sd_notify(3): READY=1 once all actors run, STOPPING=1 with the cause as
        STATUS once the group stops, and WATCHDOG=1 until then, twice as often as
        the unit's WatchdogSec asks. Without NOTIFY_SOCKET in the environment,
        which is read here, it only waits for the stop. A manager that can't be
        told ends the group: `run` raises `Failure` with code 1.
        """
        self._check_process()
        with self._adding:
            self._flush(True)
            added = lib.rg_add_systemd(self._pointer)
            if added == _ffi.RG_ESTATE:
                raise StateError(
                    "the systemd actor can't be added: the group runs or has run. Add "
                    "actors before run(), or make another group."
                )
            check(added, "the systemd actor can't be added")
            self._shared = True  # its actor runs on a thread of the library's
            self._actors.append(None)
            self._added += 1

    def add_native(self, join: Callable[[Any], Any]) -> None:
        """Lets a C library add actors of its own to this group.

        join: is called once, here, with the `rg_group *`, which ctypes takes as
            it is and cffi as `int(pointer)`. A negative int that it returns is
            an error of rungroup.h and is raised; what it added before stays.
            The library may keep the pointer as long as this object lives.
        """
        self._check_process()
        if not callable(join):
            raise TypeError(f"join is {join!r}; it is a function that takes the group")
        self._shared = True
        with self._adding:
            self._flush(True)
            try:
                code = join(_ffi.Pointer(self._pointer))
            finally:
                self._added = lib.rg_actor_count(self._pointer)
                self._actors += [None] * (self._added - len(self._actors))
        if isinstance(code, int) and code < 0:
            check(code, "the native actors can't be added")

    # ---- running ----

    def run(self) -> None:
        """Runs the group on this thread, until every actor has returned.

        Returns None after a clean return of the first actor. Else raises what
        it raised, `Failure` with the code that it returned, `SignalError` after
        a signal, `StuckError` when the grace was over, `SpawnError` when a
        thread could not be had and nothing was started, `StateError` when it
        runs or has run.

        KeyboardInterrupt, and whatever a signal handler raises in the main
        thread, stops the group and is raised again once that has ended; a
        second one gives up at once, and leaves the group to go on stopping.

        Coroutines run in an event loop of the group's, on a thread of its own.
        On a thread that runs an event loop it refuses: use `run_async`.
        """
        self._check_process()
        if asyncio._get_running_loop() is not None:
            raise StateError(
                "run() would block the event loop that runs on this thread: use "
                "`await group.run_async()`"
            )
        self._raise(self._run_blocking())

    def _run_blocking(self) -> int:
        """The run is on other threads; here, nothing that an exception at any place
        could break: a read of a pipe."""
        context = contextvars.copy_context()
        with Wakeup() if in_main_thread() else Bell() as wakeup:
            told = self._freeze()
            run = Run(self, told, wakeup.notify)
            ticket = [None]  # whoever has it decides whether the run begins

            def host() -> None:
                try:
                    ticket.pop()
                except IndexError:
                    return
                run.host(context, self._grace is not None)

            thread: threading.Thread | None = None
            error: BaseException | None = None
            while run.outcome is None:
                try:
                    if thread is None:
                        thread = spawn(run.host_name(), host)
                    while run.outcome is None:
                        wakeup.wait()
                except BaseException as raised:
                    try:
                        ticket.pop()
                    except IndexError:
                        pass
                    else:
                        self._thaw()
                        raise  # it has not begun, and will not
                    first = first_of(self._handle, self._actors)
                    asked = first is not None and isinstance(first.exception, SignalError)
                    if asked or error is not None:
                        run.give_up()
                        raise
                    error = raised
                    self.stop(130 if isinstance(raised, KeyboardInterrupt) else 1)
                    thread = thread or threading.current_thread()
        try:
            run.gather()
        except BaseException:  # a signal's, while threads were joined
            run.give_up()
            raise
        if run.own is None and thread and thread is not threading.current_thread():
            thread.join()
        if error is not None:
            raise error
        if isinstance(run.outcome, BaseException):
            self._thaw()
            raise run.outcome
        return run.outcome

    async def run_async(self) -> None:
        """Runs the group in the running event loop: `run` for coroutines.

        Coroutine actors are tasks of this loop; the others run on threads as
        always. Cancelling the task that awaits it stops the group, waits for
        it, and then lets the cancellation go on; a second one gives up at once.
        """
        self._check_process()
        loop = asyncio.get_running_loop()
        ending = loop.create_future()

        def ended() -> None:
            if not ending.done():
                ending.set_result(None)

        run = Run(self, self._freeze(), ended)
        run.loop, run.in_loop = loop, True
        try:
            run.start(contextvars.copy_context(), True)
        except BaseException:
            self._thaw()
            raise
        if run.told and run.outcome is None:
            run.watch()
        error: asyncio.CancelledError | None = None
        while run.outcome is None:
            try:
                await ending
            except asyncio.CancelledError as cancelled:
                if error is not None:
                    run.give_up()
                    raise
                error = cancelled
                ending = loop.create_future()  # that one was cancelled, too
                self.stop(1)
        run.gather()
        if error is not None:
            raise error
        if isinstance(run.outcome, BaseException):
            raise run.outcome
        self._raise(run.outcome)

    def _raise(self, code: int) -> None:
        """The run's result as the caller meets it."""
        first = first_of(self._handle, self._actors)
        exception = None if first is None else first.exception
        if code == _ffi.RG_ETIMEDOUT:
            report = self.report
            stuck = tuple(actor.name for actor in report.actors if actor.stuck)
            if stuck:
                names = ", ".join(repr(name) for name in stuck)
                raise StuckError(
                    f"not stopped within the grace of {self._grace} s: {names} had not "
                    "returned; print(group.report) says what is stuck",
                    stuck,
                ) from exception
        if exception is not None:
            try:
                raise exception
            finally:
                del exception, first  # the traceback refers to this frame
        if code != 0:
            cause = self.cause
            raise Failure(code, cause.message if cause is not None else "")

    # ---- stopping, and what is known ----

    def stop(self, code: int = 0) -> None:
        """Stops the group from outside (rule 9). Any thread, any number of times.

        code: what it ends with; `run` raises `Failure` if it is not 0. Before
            `run`, nothing will be started. If it is stopping already, nothing
            changes.
        """
        self._check_process()
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"code is {code!r}; it is an int")
        if not -(2**31) <= code < 2**31:
            raise ValueError(f"code is {code}; it must be a C int")
        check(lib.rg_stop(self._pointer, code), "the group can't be stopped")
        run = self._run
        if run is not None and not self._stop._known:
            run.wake_from_outside()
        self._stop._set()

    @property
    def stopping(self) -> bool:
        """Whether stopping has begun (rule 5). It is never undone."""
        return self._stop.is_set()

    @property
    def stop_token(self) -> StopToken:
        """What executes that take an argument are handed."""
        return self._stop

    @property
    def stop_fd(self) -> int:
        """A descriptor that is readable once stopping began. Never read from it."""
        return check(lib.rg_stop_fd(self._pointer), "no descriptor is left")

    @property
    def cause(self) -> Cause | None:
        """Why the group stops; None before stopping began (rule 4)."""
        return cause_of(self._handle, self._actors)

    @property
    def report(self) -> Report:
        """What became of every actor, now or at the end."""
        with self._adding:
            self._flush(True)
        if self._run is not None:
            self._run.tell()
        return Report._take(self._handle, self._actors)

    @property
    def pointer(self) -> ctypes.c_void_p:
        """The `rg_group *`, for functions of rungroup.h; this object's to free."""
        with self._adding:
            self._flush(True)
            if self._run is not None and not self._shared and not self._run.told:
                self._run.watch_stop()
            self._shared = True
        return _ffi.Pointer(self._pointer)

    def _check_process(self) -> None:
        if self._handle.pid != Process.id:
            raise StateError(
                "this group belongs to the process that was forked: its threads are not "
                "here. Make a group in the child, or start it by 'spawn'."
            )

    def __repr__(self) -> str:
        return f"<rungroup.Group of {len(self._actors)} actors>"
