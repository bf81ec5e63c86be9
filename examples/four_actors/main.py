"""Four components that live and die together: a state machine, an HTTP server
that shows its state, a cron job that reads it, and a signal listener.

    python main.py [port]      8080 if not given; 0: any that is free
    curl localhost:8080/       the state
    curl localhost:8080/slow   takes two seconds: try Ctrl-C meanwhile
    curl localhost:8080/hang   longer than the grace: the report says who is stuck
"""

import os
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rungroup import Failure, Group, StuckError, actors


def say(line):
    print(line + "\n", end="")  # in one piece: others print too


class Machine:
    """A traffic light. It has a way of its own to be stopped."""

    def __init__(self):
        self.step = 0
        self.quit = threading.Event()

    def __str__(self):
        step = self.step
        return f"step {step}: {('red', 'green', 'yellow')[step % 3]}"

    def run(self):
        while not self.quit.wait(0.4):
            self.step += 1

    def stop(self):
        self.quit.set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        say(f"http: {self.command} {self.path}")
        time.sleep({"/slow": 2, "/hang": 60}.get(self.path, 0))
        body = f"{self.server.machine}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    """Knows how many requests are being answered, a thread for each."""

    def __init__(self, port, machine):
        super().__init__(("127.0.0.1", port), Handler)
        self.machine = machine
        self.requests = 0
        self.answered = threading.Condition()

    def process_request(self, request, address):
        with self.answered:
            self.requests += 1
        super().process_request(request, address)

    def process_request_thread(self, request, address):
        try:
            super().process_request_thread(request, address)
        finally:
            with self.answered:
                self.requests -= 1
                self.answered.notify()


def serve(port, machine, stop):
    try:
        server = Server(port, machine)
    except OSError as error:
        raise Failure(1, f"cannot listen on port {port}: {error.strerror}") from None
    with server:
        say(f"http: listening on http://127.0.0.1:{server.server_port}/")
        # The stop token is a descriptor as well, for select, poll and asyncio.
        while stop not in select.select([server, stop], [], [])[0]:
            server.handle_request()

    # No new connections; those who are being served get their answer.
    with server.answered:
        say(f"http: stopping, {server.requests} in flight")
        server.answered.wait_for(lambda: server.requests == 0)


def main():
    port = sys.argv[1] if len(sys.argv) > 1 else "8080"
    if len(sys.argv) > 2 or not port.isdecimal() or int(port) > 65535:
        print(f"usage: {sys.argv[0]} [port]", file=sys.stderr)
        return 2
    sys.stdout.reconfigure(line_buffering=True)
    machine = Machine()

    # Staged: the state machine is stopped last, when nobody reads it any more.
    group = Group(order="staged", grace=5.0)
    group.add(machine.run, machine.stop, name="machine")
    group.add(lambda stop: serve(int(port), machine, stop), name="http")
    group.add(*actors.periodic(1.0, lambda: say(f"cron: {machine}")), name="cron")
    group.add_signals()
    stuck = False
    try:
        group.run()
    except Failure:  # a signal's, or the server's: the report has it
        pass
    except StuckError:
        stuck = True
    print(group.report)
    code = group.cause.code
    if stuck:  # leave at once: what is stuck may hold what the interpreter's end needs
        sys.stdout.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
