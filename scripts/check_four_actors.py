"""Runs a four-actor program at a terminal and sees that it ends as it should.

check_four_actors.py PROGRAM [ARGUMENT...]
"""

import os
import pty
import re
import select
import signal
import socket
import sys
import threading
import time
import urllib.request

WATCHDOG = 30  # seconds; only a hang meets it
NEVER = "(?!)"  # a pattern that nothing matches: reads to the end


class Run:
    """The program on a terminal of its own."""

    def __init__(self, *command):
        self.output = ""
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
                self.kill()
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

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

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


def expect(what, condition, run):
    if not condition:
        raise AssertionError(f"not so: {what}\n{run.output}")


STATE = r"step \d+: (red|green|yellow)\n"


def ctrl_c(program):
    run = Run(*program, "0")
    url = run.url()
    status, body = Request(url).result()
    expect("it answers", status == 200 and re.fullmatch(STATE, body), run)
    run.wait_for(r"cron: step \d+")
    run.ctrl_c()
    expect("Ctrl-C gives 130", run.end() == 130, run)
    expect(
        "the report names the cause",
        'ended by "signals" with code 130' in run.output,
        run,
    )
    expect("nobody is stuck", "STUCK" not in run.output, run)


def sigterm(program):
    run = Run(*program, "0")
    run.url()
    os.kill(run.pid, signal.SIGTERM)
    expect("SIGTERM gives 143", run.end() == 143, run)


def in_flight(program):
    run = Run(*program, "0")
    slow = Request(run.url() + "slow")
    run.wait_for("GET /slow")
    run.ctrl_c()
    code = run.end()
    status, body = slow.result()
    expect("it was stopping meanwhile", "stopping, 1 in flight" in run.output, run)
    expect(f"the request is answered, not {body!r}", status == 200, run)
    expect("the answer is whole", re.fullmatch(STATE, body), run)
    expect("the code is 130", code == 130, run)


def port_taken(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = Run(*program, str(port))
        code = run.end()
    expect("a taken port gives 1", code == 1, run)
    expect('"http" is the cause', 'ended by "http" ' in run.output, run)
    expect(
        "it says which port", f"cannot listen on port {port}: Address" in run.output, run
    )


# Seconds. Sooner, it is the same stop delivered twice (rule 16).
AGAIN = 0.3


def second_ctrl_c(program):
    run = Run(*program, "0")
    Request(run.url() + "hang")
    run.wait_for("GET /hang")
    run.ctrl_c()
    run.wait_for("stopping, 1 in flight")
    time.sleep(AGAIN)
    run.ctrl_c()
    expect("the second Ctrl-C kills", run.end() == -signal.SIGINT, run)


def stuck(program):
    run = Run(*program, "0")
    Request(run.url() + "hang")
    run.wait_for("GET /hang")
    began = time.monotonic()
    run.ctrl_c()
    code = run.end()
    took = time.monotonic() - began
    expect("the code is still 130", code == 130, run)
    expect("it ends with the grace", 4.9 < took < 20, run)
    expect("the report says who", 'STUCK "http": its execute has not' in run.output, run)


def carry_out(checks):
    """Runs each, by its name, and counts them; whether any failed."""
    failed = 0
    for name, check in checks.items():
        try:
            check()
            print(f"ok {name}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed > 0


def main():
    program = sys.argv[1:]
    checks = [ctrl_c, sigterm, in_flight, port_taken, second_ctrl_c, stuck]
    return carry_out({c.__name__: lambda check=c: check(program) for c in checks})


if __name__ == "__main__":
    sys.exit(main())
