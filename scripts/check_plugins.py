"""Runs the hosts of examples/plugins at a terminal, and ends them by Ctrl-C.

check_plugins.py          what the hosts do, once each
check_plugins.py TIMES    Ctrl-C that many times, at the host with the most runtimes
check_plugins.py --demo   one run to look at
"""

import os
import re
import socket
import sqlite3
import sys
import tempfile
from pathlib import Path

from check_four_actors import Request, Run, carry_out, expect

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build/plugins"
# From the checkout, not from what may be installed.
os.environ["PYTHONPATH"] = str(ROOT / "bindings/python/src")
os.environ["RUNGROUP_LIBRARY"] = str(ROOT / "build/lib/librungroup.so.0")

# The command, and whether it may load the plugin in Go.
HOSTS = {
    "Python": ([sys.executable, ROOT / "examples/plugins/host.py"], True),
    "C": ([BUILT / "host"], True),
    # A process can hold one Go runtime only: no Go plugin.
    "Go": ([BUILT / "gohost"], False),
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Host(Run):
    """A host with its plugins, and a database of their own."""

    def __init__(self, language, folder):
        command, with_go = HOSTS[language]
        self.address = f"127.0.0.1:{free_port()}"
        self.database = str(Path(folder) / "samples.db")
        plugins = ["sampler.so", self.database, "web.so", self.address]
        if with_go:
            plugins += ["cron.so", f"http://{self.address}/"]
        names = [str(BUILT / p) if p.endswith(".so") else p for p in plugins]
        super().__init__(*[str(part) for part in command], *names)
        self.actors = [f"heart ({language})", "sampler (C)", "web (Rust)"]
        if with_go:
            self.actors.append("cron (Go)")


def whole_run(language):
    with tempfile.TemporaryDirectory() as folder:
        run = Host(language, folder)
        run.wait_for("host: beat 1")
        status, body = Request(f"http://{run.address}/").result()
        expect("the web plugin answers", status == 200 and "sampler (C)" in body, run)
        if "cron (Go)" in run.actors:
            run.wait_for(r"cron: \d+ threads")
        run.ctrl_c()
        code = run.end()
        expect(f"Ctrl-C gives 130, not {code}", code == 130, run)
        for actor in run.actors:
            line = re.search(rf"^  {re.escape(actor)} .* code 0$", run.output, re.M)
            expect(f"{actor} has ended well", line, run)
        with sqlite3.connect(run.database) as database:
            (samples,) = database.execute("SELECT count(*) FROM sample").fetchone()
        said = f"sampler: wrote {samples} samples"
        expect("every sample was written", said in run.output and samples > 1, run)
        return run.output


def many_times(times):
    """Ctrl-C, at once or a little later: it never gets lost, and nothing crashes."""
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            run = Host("Python", folder)
            run.wait_for(r"cron: \d+ threads")
            run.ctrl_c()
            code = run.end()
            expect(f"Ctrl-C gives 130, not {code}", code == 130, run)
            expect("it reports", 'ended by "' in run.output, run)


def missing_plugin():
    for command, _ in HOSTS.values():
        run = Run(*map(str, command), "/nonexistent.so", "")
        code = run.end()
        expect("a plugin that is not there: 1", code == 1, run)
        expect("it says which", "/nonexistent.so" in run.output, run)


def main():
    if sys.argv[1:] == ["--demo"]:
        print(whole_run("Python"))
        return 0
    if sys.argv[1:]:
        checks = {
            f"Ctrl-C {sys.argv[1]} times": lambda: many_times(int(sys.argv[1])),
        }
    else:
        checks = {f"host in {name}": lambda n=name: whole_run(n) for name in HOSTS}
        checks["a missing plugin"] = missing_plugin
    return carry_out(checks)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
