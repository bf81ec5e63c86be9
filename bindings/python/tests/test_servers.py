"""The example with a WSGI and an ASGI server."""

import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from conftest import ROOT, WATCHDOG

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
