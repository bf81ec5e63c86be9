"""One group, several languages: actors of all kinds, and the hosts of examples/plugins
at a terminal, ended by Ctrl-C. scripts/plugins.sh builds them."""

import re
import socket
import sqlite3
import sys
from pathlib import Path

import pytest
from support import BUILD, LIB, QUICK, ROOT, run
from terminal import Request, Terminal

BUILT = BUILD / "plugins"
# The command, and whether it may load the plugin in Go.
HOSTS = {
    "Python": ([sys.executable, ROOT / "examples/plugins/host.py"], True),
    "C": ([BUILT / "host"], True),
    # A process can hold one Go runtime only: no Go plugin.
    "Go": ([BUILT / "gohost"], False),
}


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    """Not what may be installed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "bindings/python/src"))
    monkeypatch.setenv("RUNGROUP_LIBRARY", str(LIB / "librungroup.so.0"))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Host(Terminal):
    """A host with its plugins, and a database of their own."""

    def __init__(self, language, folder):
        command, with_go = HOSTS[language]
        self.address = f"127.0.0.1:{free_port()}"
        self.database = str(Path(folder) / "samples.db")
        plugins = ["sampler.so", self.database, "web.so", self.address]
        if with_go:
            plugins += ["cron.so", f"http://{self.address}/"]
        names = [BUILT / p if p.endswith(".so") else p for p in plugins]
        super().__init__(*command, *names)
        self.actors = [f"heart ({language})", "sampler (C)", "web (Rust)"]
        if with_go:
            self.actors.append("cron (Go)")


@pytest.mark.parametrize("language", HOSTS)
def test_host(language, tmp_path):
    host = Host(language, tmp_path)
    host.wait_for("host: beat 1")
    status, body = Request(f"http://{host.address}/").result()
    assert status == 200 and "sampler (C)" in body
    if "cron (Go)" in host.actors:
        host.wait_for(r"cron: \d+ threads")
    host.ctrl_c()
    assert host.end() == 130, host.output
    for actor in host.actors:
        line = re.search(rf"^  {re.escape(actor)} .* code 0$", host.output, re.M)
        assert line, f"{actor} has not ended well:\n{host.output}"
    with sqlite3.connect(host.database) as database:
        (samples,) = database.execute("SELECT count(*) FROM sample").fetchone()
    assert samples > 1 and f"sampler: wrote {samples} samples" in host.output
    print(host.output)  # for who looks, by -s


@pytest.mark.parametrize("time", range(3 if QUICK else 20))
def test_ctrl_c_is_never_lost(time, tmp_path):
    host = Host("Python", tmp_path)
    host.wait_for(r"cron: \d+ threads")
    host.ctrl_c()
    assert host.end() == 130 and 'ended by "' in host.output, host.output


@pytest.mark.parametrize("language", HOSTS)
def test_missing_plugin(language):
    host = Terminal(*HOSTS[language][0], "/nonexistent.so", "")
    assert host.end() == 1, host.output
    assert "/nonexistent.so" in host.output


def test_actors_of_all_languages_in_random_groups():
    probes = [BUILT / f"probe_{language}.so" for language in ("c", "cpp", "rust", "go")]
    run(BUILT / "mixed", 500 if QUICK else 5000, *probes)
