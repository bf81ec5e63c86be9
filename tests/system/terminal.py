"""A program at a terminal of its own, and requests to it."""

import os
import pty
import re
import select
import signal
import threading
import time
import urllib.request

WATCHDOG = 30  # seconds; only a hang meets it
NEVER = "(?!)"  # a pattern that nothing matches: reads to the end


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *command):
        self.output = ""
        command = [str(word) for word in command]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            # What a shell starts in the background has this ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execvp(command[0], command)

    def wait_for(self, pattern):
        """Reads on until the output matches, or ends; returns the match."""
        deadline = time.monotonic() + WATCHDOG
        while not (match := re.search(pattern, self.output)):
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.terminal], [], [], left)[0]:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"no {pattern!r} in:\n{self.output}")
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # how a terminal says that the other side is closed
                data = b""
            if not data:
                if pattern == NEVER:
                    return None
                raise AssertionError(f"ended without {pattern!r}:\n{self.output}")
            self.output += data.decode().replace("\r\n", "\n")
        return match

    def url(self):
        return self.wait_for(r"listening on (http://\S+/)\n")[1]

    def ctrl_c(self):
        os.write(self.terminal, b"\x03")

    def end(self):
        """The exit code; negative: the signal that killed it."""
        self.wait_for(NEVER)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


class Request(threading.Thread):
    """A request in flight."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.answer = None
        self.start()

    def run(self):
        try:
            with urllib.request.urlopen(self.url, timeout=WATCHDOG) as response:
                self.answer = (response.status, response.read().decode())
        except OSError as error:
            self.answer = (0, str(error))

    def result(self):
        self.join(WATCHDOG)
        return self.answer
