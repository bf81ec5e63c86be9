"""The example with a WSGI and an ASGI server, and the lines of the README's table."""

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from functools import partial

import pytest
from conftest import ROOT, WATCHDOG

from rungroup import Group, actors

EXAMPLE = ROOT / "examples/servers/main.py"


@pytest.mark.skipif(
    not EXAMPLE.exists() or importlib.util.find_spec("uvicorn") is None,
    reason="needs the checkout, and uvicorn",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_servers(number):
    command = [sys.executable, "-W", "error", EXAMPLE, "0", "0"]
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, text=True, env=environment) as program:
        try:
            ports = dict(program.stdout.readline().split(" on port ") for _ in "12")
            for kind, port in ports.items():
                url = f"http://127.0.0.1:{int(port)}/"
                with urllib.request.urlopen(url, timeout=WATCHDOG) as answer:
                    assert answer.read() == f"by {kind}\n".encode()
            program.send_signal(number)
            said = program.communicate(timeout=WATCHDOG)[0]
        finally:
            program.kill()
    assert program.returncode == 0
    assert said.startswith(f"stopped by {number.name}\n")
    assert 'ended by "signals"' in said and "STUCK" not in said


# ---- the table: each server answers what is in flight when the group stops ----


class App:
    """WSGI and ASGI: says that it is asked, and answers when it may."""

    def __init__(self):
        self.asked = threading.Event()
        self.answer = threading.Event()

    def wsgi(self, environ, start_response):
        self.asked.set()
        self.answer.wait()
        start_response(
            "200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")]
        )
        return [b"ok"]

    async def wait(self):
        self.asked.set()
        while not self.answer.is_set():
            await asyncio.sleep(0.001)

    async def asgi(self, scope, receive, send):
        assert scope["type"] == "http"
        await self.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def get(port):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:  # until it listens
        try:
            return opener.open(f"http://127.0.0.1:{port}/", timeout=WATCHDOG).read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise


def check(add, app, ask=get):
    """It is asked; the group stops; then it may answer."""
    port = free_port()
    group = Group(grace=WATCHDOG / 2)
    add(group, port)
    answers = []
    client = threading.Thread(target=lambda: answers.append(ask(port)))

    @group.actor
    def asks(stop):
        client.start()
        app.asked.wait()

    @group.actor
    def lets_go(stop):
        stop.wait()
        app.answer.set()

    group.run()
    client.join()
    assert answers == [b"ok"]
    assert group.cause.actor == "asks"
    assert {actor.state for actor in group.report.actors} == {"returned"}


def threaded(app, port):
    from http.server import ThreadingHTTPServer
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

    class Server(ThreadingHTTPServer, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, *arguments):
            pass

    server = Server(("127.0.0.1", port), Quiet)
    server.set_app(app.wsgi)
    return server


def test_http_server():
    app = App()

    def add(group, port):
        group.add(*actors.http_server(threaded(app, port)), name="http")

    check(add, app)


def test_http_server_closes_a_connection_that_is_kept_alive():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Hello(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
    group = Group(grace=WATCHDOG / 2)
    group.add(*actors.http_server(server), name="http")
    with socket.create_connection(server.server_address, WATCHDOG) as client:

        @group.actor
        def asks(stop):
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert client.recv(1)

        group.run()


def test_flask():
    pytest.importorskip("werkzeug")
    from werkzeug.serving import make_server

    app = App()

    def add(group, port):
        server = make_server("127.0.0.1", port, app.wsgi, threaded=True)
        group.add(*actors.http_server(server), name="http")

    check(add, app)


def test_uvicorn():
    uvicorn = pytest.importorskip("uvicorn")
    app = App()

    def add(group, port):
        config = uvicorn.Config(
            app.asgi,
            port=port,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_level="error",
        )
        server = uvicorn.Server(config)
        group.add(server.serve, lambda: setattr(server, "should_exit", True))

    check(add, app)


def test_hypercorn():
    pytest.importorskip("hypercorn")
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    app = App()

    def add(group, port):
        config = Config.from_mapping(bind=[f"127.0.0.1:{port}"], errorlog=None)
        trigger = group.stop_token.wait_async
        group.add(
            partial(serve, App.asgi.__get__(app), config, shutdown_trigger=trigger),
            lambda: None,
            name="hypercorn",
        )

    check(add, app)


def test_waitress():
    waitress = pytest.importorskip("waitress")
    app = App()
    servers = []

    def add(group, port):
        server = waitress.create_server(app.wsgi, host="127.0.0.1", port=port)
        servers.append(server)
        close = partial(server.trigger.pull_trigger, server.close)
        group.add(server.run, lambda: close(), name="waitress")

    check(add, app)
    servers[0].task_dispatcher.shutdown()  # its threads are daemons


def test_cheroot():
    pytest.importorskip("cheroot")
    from cheroot import wsgi

    app = App()

    def add(group, port):
        server = wsgi.Server(("127.0.0.1", port), app.wsgi)
        server.prepare()
        group.add(server.serve, server.stop, name="cheroot")

    check(add, app)


def test_aiohttp():
    pytest.importorskip("aiohttp")
    from aiohttp import web

    app = App()

    async def answer(request):
        await app.wait()
        return web.Response(text="ok")

    def add(group, port):
        application = web.Application()
        application.router.add_get("/", answer)

        async def serve():
            runner = web.AppRunner(application)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
                await asyncio.Event().wait()
            finally:
                await runner.cleanup()

        group.add(serve, name="aiohttp")

    check(add, app)


def test_grpc():
    grpc = pytest.importorskip("grpc")
    from concurrent.futures import ThreadPoolExecutor

    app = App()

    def answer(request, context):
        app.asked.set()
        app.answer.wait()
        return b"ok"

    def add(group, port):
        server = grpc.server(ThreadPoolExecutor())
        handlers = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("Service", handlers)]
        )
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        group.add(server.wait_for_termination, lambda: server.stop(5.0), name="grpc")

    def ask(port):
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            return channel.unary_unary("/Service/Ask")(b"", timeout=WATCHDOG)

    check(add, app, ask)


def ask_websocket(port):
    from websockets.sync.client import connect

    while True:
        try:
            with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
                return client.recv().encode()
        except ConnectionRefusedError:
            pass


def test_websockets_in_a_loop():
    pytest.importorskip("websockets")
    from websockets.asyncio.server import serve

    app = App()

    async def handler(connection):
        await connection.send("ok")
        app.asked.set()

    def add(group, port):
        async def websocket():
            async with serve(handler, "127.0.0.1", port):
                await asyncio.Event().wait()

        group.add(websocket)

    check(add, app, ask_websocket)


def test_websockets_on_threads():
    pytest.importorskip("websockets")
    from websockets.sync.server import serve

    app = App()

    def handler(connection):
        app.asked.set()
        app.answer.wait()
        connection.send("ok")

    def add(group, port):
        server = serve(handler, "127.0.0.1", port)
        group.add(
            server.serve_forever,
            lambda: server.shutdown(close_connections=False),
            name="websockets",
        )

    check(add, app, ask_websocket)
