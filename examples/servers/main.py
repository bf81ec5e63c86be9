"""A WSGI server, an ASGI server and the signals: one group, which Ctrl-C ends.

    python main.py [WSGI-PORT [ASGI-PORT]]     8000 and 8001; 0: any

The WSGI server is the standard library's; the ASGI server is uvicorn, which
`pip install uvicorn` brings. Others are run alike: by what makes them serve, and
by what tells them to stop.
"""

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import uvicorn
from rungroup import Group, SignalError, actors


def by_wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"by WSGI\n"]


async def by_asgi(scope, receive, send):
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"by ASGI\n"})


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        for server in self.servers:
            print(f"ASGI on port {server.sockets[0].getsockname()[1]}", flush=True)

    def stop(self, cause):
        self.should_exit = True  # it answers what was asked, and returns


wsgi_port, asgi_port = [int(word) for word in sys.argv[1:3]] + [8000, 8001][
    len(sys.argv) - 1 :
]
group = Group(grace=10.0)

wsgi = make_server("127.0.0.1", wsgi_port, by_wsgi, handler_class=Quiet)
print(f"WSGI on port {wsgi.server_port}", flush=True)
group.add(*actors.http_server(wsgi), name="wsgi")

# A coroutine: in an event loop on a thread of the group's, where uvicorn leaves
# the signals alone. Its lifespan protocol is for applications that ask for it.
config = uvicorn.Config(
    by_asgi, port=asgi_port, log_level="warning", lifespan="off", ws="none"
)
asgi = Server(config)
group.add(asgi.serve, asgi.stop, name="asgi")

group.add_signals()
try:
    group.run()
except SignalError as error:
    print(f"stopped by {error}", flush=True)
print(group.report, flush=True)
