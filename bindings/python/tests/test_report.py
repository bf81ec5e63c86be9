"""The trace, and the pictures made of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from html.parser import HTMLParser

import pytest

from rungroup import Code, Group, StuckError
from rungroup.report import Timeline, duration, main, page

HOSTILE = 'a "quoted" <b>&amp;</b> \\ name'


def check_trace(trace):
    """The rules of the trace event format; the events."""
    document = json.loads(trace)
    events = document["traceEvents"]
    open_events, slices = {}, {}
    for event in events:
        assert isinstance(event["name"], str) and isinstance(event["pid"], int)
        assert isinstance(event["tid"], int) and isinstance(event["args"], dict)
        phase = event["ph"]
        if phase == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            continue
        assert isinstance(event["cat"], str) and event["ts"] >= 0
        if phase == "X":
            assert event["dur"] >= 0
            begin = event["ts"]
            thread = event["pid"], event["tid"]
            slices.setdefault(thread, []).append((begin, begin + event["dur"]))
        elif phase in "be":
            pair = event["cat"], event["id"], event["name"]
            if phase == "b":
                assert pair not in open_events
                open_events[pair] = event["ts"]
            else:
                assert open_events.pop(pair) <= event["ts"]
        else:
            assert phase == "i" and event["s"] in "gpt", event
    assert not open_events
    for times in slices.values():  # of one thread: apart, or one within the other
        for one in times:
            for other in times:
                assert (
                    one[1] <= other[0]
                    or other[1] <= one[0]
                    or (one[0] <= other[0] and other[1] <= one[1])
                    or (other[0] <= one[0] and one[1] <= other[1])
                ), times
    return events


class Page(HTMLParser):
    """Sees that what is opened is closed, and loads nothing from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.classes, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert not {"src", "href"} & given.keys() and tag not in ("script", "link")
        self.classes += (given.get("class") or "").split()
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def ended():
    """A run where an execute returns while its interrupt still runs."""
    group = Group()
    interrupted, returned = threading.Event(), threading.Event()

    def waits():
        interrupted.wait()
        returned.set()
        return Code(3)

    def interrupt():
        interrupted.set()
        returned.wait()
        # Until the library knows that it has returned.
        while group.report.actors[0].returned is None:
            pass

    def first():
        raise ValueError(HOSTILE)

    group.add(waits, interrupt, name=HOSTILE)
    group.add(first, lambda: None, name="first")
    with pytest.raises(ValueError):
        group.run()
    return group.report


def stuck():
    gate = threading.Event()
    group = Group(grace=0.3)  # time enough for those who do not hang
    group.add(lambda: gate.wait() and None, lambda: None, name="execute hangs")
    group.add(lambda stop: stop.wait(), lambda: gate.wait(), name="interrupt hangs")
    group.add(lambda: None, lambda: None, name="first")
    with pytest.raises(StuckError):
        group.run()
    report = group.report
    gate.set()
    return report


def test_trace():
    report = ended()
    events = check_trace(report.to_trace())
    waits = report.actors[0]
    assert waits.interrupting < waits.returned < waits.interrupted
    names = [e["args"]["name"] for e in events if e["name"] == "thread_name"]
    assert names == [HOSTILE, "first"]
    (execute,) = (e for e in events if e["name"] == HOSTILE and e["ph"] == "X")
    assert execute["args"] == {"code": 3, "message": "", "stuck": False, "cause": False}
    assert execute["ts"] + execute["dur"] == pytest.approx(waits.returned * 1e6, abs=1)
    (stopping,) = (e for e in events if e["name"] == "stopping")
    assert HOSTILE in stopping["args"]["message"]


def test_trace_of_every_state():
    check_trace(stuck().to_trace())
    group = Group()
    group.add(lambda stop: None, name="not run")
    check_trace(group.report.to_trace())
    assert Timeline.from_trace(group.report.to_trace()).bars[0].started is False
    Page(group.report._repr_html_())
    check_trace(Group().report.to_trace())
    Page(Group().report._repr_html_())


def test_timeline():
    report = ended()
    line = Timeline.from_trace(report.to_trace())
    waits, first = line.bars
    assert (first.cause, waits.cause, waits.code) == (True, False, 3)
    assert waits.interrupt[1] - waits.interrupt[0] == pytest.approx(
        (report.actors[0].interrupted - report.actors[0].interrupting) * 1e6, abs=1
    )
    line = Timeline.from_trace(stuck().to_trace())
    assert [bar.stuck for bar in line.bars] == [True, False, False]
    assert [bar.interrupt_stuck for bar in line.bars] == [False, True, False]


def test_picture():
    report = ended()
    seen = Page(report._repr_html_())
    assert seen.classes.count("row") == 2 and "stuck" not in seen.classes
    assert any(HOSTILE in words for words in seen.words)
    seen = Page(stuck().to_html())
    assert seen.classes.count("row") == 3
    assert seen.classes.count("stuck") == 3  # an execute, an interrupt, the legend
    assert any("STUCK: 'execute hangs', 'interrupt hangs'" in w for w in seen.words)
    page_of_none = Page(page([]))
    assert "row" not in page_of_none.classes


def test_command(tmp_path):
    report = ended()
    trace = tmp_path / "trace.json"
    trace.write_text(report.to_trace())
    output = tmp_path / "report.html"
    command = [sys.executable, "-W", "error", "-m", "rungroup.report"]
    subprocess.run([*command, trace, "-o", output], check=True)
    seen = Page(output.read_text())
    assert seen.classes.count("row") == 2 and "trace.json" in seen.words
    printed = subprocess.run([*command, trace], check=True, capture_output=True)
    assert printed.stdout == output.read_bytes()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"traceEvents": [{"ph": "X"}]}'])
def test_other_files_are_refused(text, tmp_path, capsys):
    trace = tmp_path / "other.json"
    trace.write_text(text)
    assert main([str(trace)]) == 1
    said = capsys.readouterr()
    assert "other.json: this is not a trace of rungroup's" in said.err
    assert said.out == ""
    assert main([str(tmp_path / "missing.json")]) == 1


def test_durations():
    assert duration(0.2) == "200 ns"
    assert duration(1234.5) == "1.23 ms"
    assert duration(45.67) == "45.7 µs"
    assert duration(125_000_000.0) == "125 s"


def test_what_is_handed_out_does_not_change():
    group = Group()
    group.add(lambda: None, lambda: None, name="first")
    group.run()
    report = group.report
    for value, name in (
        (report, "late"),
        (report.cause, "code"),
        (report.actors[0], "code"),
    ):
        with pytest.raises(AttributeError, match="can't be changed"):
            setattr(value, name, 1)
        with pytest.raises(AttributeError, match="can't be deleted"):
            delattr(value, name)
    again = group.report
    assert report == again and hash(report) == hash(again) and report != report.cause
    assert len({report.cause, again.cause}) == 1
    assert repr(report.cause).startswith("Cause(code=0, actor='first', message=")
    assert "_text" not in repr(report) and not isinstance(report.actors[0], tuple)
