"""The life of some groups while one call of the C library fails, as in life.c.

life.py FAULT CALL, with shim.so loaded before the C library. Whatever comes of it
is an exception that says enough; afterwards all works, and nothing is left.
"""

import asyncio
import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time

import rungroup
from rungroup import _ffi

faulthandler.register(signal.SIGALRM, chain=True)
signal.alarm(60)  # a hang ends the process, and says where
shim = ctypes.CDLL(None)
shim.fault_begin.argtypes = [ctypes.c_char_p, ctypes.c_long]
shim.fault_end.restype = ctypes.c_long


class Life:
    """Counts the errors; where nothing fails there must be none."""

    def __init__(self, perfect):
        self.perfect = perfect
        self.errors = 0

    def tried(self, what):
        """What `what` gives, or None after an error that says enough."""
        try:
            return what()
        except (MemoryError, rungroup.SpawnError, rungroup.StuckError) as error:
            said = error
        except rungroup.Failure as error:
            if error.code in (7, 128 + signal.SIGUSR1):
                raise
            said = error
        assert not self.perfect, repr(said)
        assert len(str(said)) > 10, repr(said)
        self.errors += 1

    def group(self, ended_by):
        group = self.tried(lambda: rungroup.Group(grace=60))
        if group is None:
            return None
        executed = []

        def waits(stop):
            executed.append(1)
            stop.wait()

        def descriptor(stop):
            # Without a descriptor it waits otherwise.
            if self.tried(stop.fileno) is None:
                stop.wait()
            while not stop.wait(0.01):
                pass

        def ends():
            if ended_by == "signal":
                os.kill(os.getpid(), signal.SIGUSR1)
                group.stop_token.wait()
            else:
                raise rungroup.Failure(7, "why")

        for added in (waits,), (descriptor,), (ends, lambda: None):
            if not self.tried(lambda added=added: group.add(*added) or True):
                return None
        if ended_by == "signal":
            if not self.tried(lambda: group.add_signals(signal.SIGUSR1) or True):
                return None
        elif ended_by == "native":
            number = (ctypes.c_int * 1)(signal.SIGUSR2)
            add = _ffi.lib.rg_add_signals
            if not self.tried(
                lambda: group.add_native(lambda pointer: add(pointer, number, 1)) or True
            ):
                return None
            if not self.tried(lambda: group.add_systemd() or True):
                return None
        return group, executed

    def run(self, ended_by, run):
        made = self.group(ended_by)
        if made is None:
            return
        group, executed = made
        for _ in range(4):
            before = self.errors
            try:
                self.tried(lambda: run(group))
            except rungroup.Failure as error:
                wanted = 128 + signal.SIGUSR1 if ended_by == "signal" else 7
                assert error.code == wanted, repr(error)
                break
            assert self.errors > before, "it ended without a word"
            if executed or group.stopping:
                break
        assert executed or self.errors
        assert "rungroup" in str(group.report)

    def all(self):
        self.run("exception", rungroup.Group.run)
        self.run("native", rungroup.Group.run)
        self.run("signal", rungroup.Group.run)
        self.run("native", lambda group: asyncio.run(group.run_async()))


def await_threads():
    while threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        time.sleep(0.001)


def main():
    fault, call = sys.argv[1].encode(), int(sys.argv[2])
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    name = f"@rungroup-faults-{os.getpid()}"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind("\0" + name[1:])
    os.environ["NOTIFY_SOCKET"] = name
    manager.setblocking(False)

    def life(perfect):
        lived = Life(perfect)
        try:
            while manager.recv(4096):
                pass
        except BlockingIOError:
            pass
        lived.all()
        await_threads()
        gc.collect()  # an exception refers to frames, which refer to the group
        return lived.errors

    life(True)
    held = len(os.listdir("/proc/self/fd"))
    assert shim.fault_begin(fault, call) == 0
    errors = life(False)
    calls = shim.fault_end()
    life(True)
    assert len(os.listdir("/proc/self/fd")) == held
    print(f"{calls} calls, {errors} errors")


main()
