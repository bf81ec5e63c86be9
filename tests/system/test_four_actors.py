"""The four-actor program in every language ends as it should, at a terminal."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest
from support import compiled, go_program, python_program, rust_example
from terminal import Request, Terminal

FOLDER = "examples/four_actors"
STATE = r"step \d+: (red|green|yellow)\n"
# Seconds. Sooner, it is the same stop delivered twice (rule 16).
AGAIN = 0.3


def in_c():
    return [compiled(f"{FOLDER}/main.c", "four_actors", "-lmicrohttpd")]


def in_cpp():
    # Some systems have it compiled, some as a header alone.
    http = subprocess.run(["pkg-config", "--libs", "cpp-httplib"], capture_output=True)
    libraries = [*http.stdout.decode().split(), "-Wno-error"]
    program = compiled(f"{FOLDER}/main.cpp", "four_actors_cpp", *libraries)
    return [program]


def in_rust():
    return [rust_example("four_actors")]


def in_go():
    return [go_program(f"{FOLDER}/main.go", "four_actors_go")]


def in_python():
    return python_program(f"{FOLDER}/main.py")


@pytest.fixture(scope="module", params=[in_c, in_cpp, in_rust, in_go, in_python])
def program(request):
    return request.param()


def test_ctrl_c(program):
    run = Terminal(*program, "0")
    status, body = Request(run.url()).result()
    assert status == 200 and re.fullmatch(STATE, body)
    run.wait_for(r"cron: step \d+")
    run.ctrl_c()
    assert run.end() == 130, run.output
    assert 'ended by "signals" with code 130' in run.output
    assert "STUCK" not in run.output


def test_sigterm(program):
    run = Terminal(*program, "0")
    run.url()
    os.kill(run.pid, signal.SIGTERM)
    assert run.end() == 143, run.output


def test_a_request_in_flight_is_answered(program):
    run = Terminal(*program, "0")
    slow = Request(run.url() + "slow")
    run.wait_for("GET /slow")
    run.ctrl_c()
    code = run.end()
    status, body = slow.result()
    assert "stopping, 1 in flight" in run.output
    assert status == 200 and re.fullmatch(STATE, body), (body, run.output)
    assert code == 130, run.output


def test_port_taken(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = Terminal(*program, port)
        assert run.end() == 1, run.output
    assert 'ended by "http" ' in run.output
    assert f"cannot listen on port {port}: Address" in run.output


def test_second_ctrl_c_kills(program):
    run = Terminal(*program, "0")
    Request(run.url() + "hang")
    run.wait_for("GET /hang")
    run.ctrl_c()
    run.wait_for("stopping, 1 in flight")
    time.sleep(AGAIN)
    run.ctrl_c()
    assert run.end() == -signal.SIGINT, run.output


def test_stuck(program):
    run = Terminal(*program, "0")
    Request(run.url() + "hang")
    run.wait_for("GET /hang")
    began = time.monotonic()
    run.ctrl_c()
    code = run.end()
    assert code == 130, run.output
    assert 4.9 < time.monotonic() - began < 20, "it ends with the grace"
    assert 'STUCK "http": its execute has not' in run.output
