"""What became of a run: text, trace, and a picture.

    python -m rungroup.report trace.json -o report.html

makes a page of a trace that any language's report wrote (RG_FORMAT_TRACE).
"""

from __future__ import annotations

import argparse
import builtins
import ctypes
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, cast

from . import _ffi
from ._ffi import Handle, lib, text

if TYPE_CHECKING:
    from ._run import Actor, Cause

__all__ = ["ActorReport", "Bar", "Report", "Timeline", "page", "picture"]

STATES = {
    _ffi.RG_STATE_ADDED: "added",
    _ffi.RG_STATE_RUNNING: "running",
    _ffi.RG_STATE_RETURNED: "returned",
    _ffi.RG_STATE_PANICKED: "raised",
}


@dataclass(frozen=True)
class ActorReport:
    """What became of one actor. Times are seconds since the run began."""

    #: Its name.
    name: str
    #: "added" (not started), "running", "returned" or "raised".
    state: str
    #: What its execute returned; 0 before.
    code: int
    #: What it said of it, or "".
    message: str
    #: What had not returned when the grace was over: "execute", "interrupt",
    #: "both", or "" if it is not stuck.
    stuck: str
    #: When execute was called; None: it was not. So with the next ones.
    started: float | None
    #: When execute returned.
    returned: float | None
    #: When interrupt was called.
    interrupting: float | None
    #: When interrupt returned.
    interrupted: float | None
    #: What went wrong in its interrupt, or "".
    complaint: str
    #: What execute raised, with its traceback.
    exception: BaseException | None = field(default=None, compare=False)
    #: What interrupt raised.
    interrupt_exception: BaseException | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Report:
    """A snapshot of a group, during its run or after. `print` it."""

    #: In order of addition, those of C libraries included.
    actors: tuple[ActorReport, ...]
    #: Why the group stops; None before stopping began.
    cause: Cause | None
    _text: str = field(repr=False)
    _trace: str = field(repr=False)

    @classmethod
    def _take(cls, handle: Handle, actors: Sequence[Actor | None]) -> Report:
        from ._run import cause_of

        entries = []
        raw = _ffi.rg_actor_report(size=ctypes.sizeof(_ffi.rg_actor_report))
        stucks = ("", "execute", "interrupt", "both")
        for index in range(lib.rg_actor_count(handle.pointer)):
            lib.rg_get_report(handle.pointer, index, ctypes.byref(raw))
            actor = actors[index] if index < len(actors) else None
            entries.append(
                ActorReport(
                    text(raw.name),
                    STATES.get(raw.state, "running"),
                    raw.code,
                    text(raw.message),
                    stucks[raw.stuck & 3],
                    _seconds(raw.started_ns),
                    _seconds(raw.returned_ns),
                    _seconds(raw.interrupting_ns),
                    _seconds(raw.interrupted_ns),
                    text(raw.complaint),
                    None if actor is None else actor.exception,
                    None if actor is None else actor.complaint,
                )
            )
        return cls(
            tuple(entries),
            cause_of(handle, list(actors)),
            _format(handle, _ffi.RG_FORMAT_TEXT),
            _format(handle, _ffi.RG_FORMAT_TRACE),
        )

    def __str__(self) -> str:
        return self._text.rstrip("\n")

    def to_trace(self) -> str:
        """JSON in the Chrome trace event form, which trace viewers open."""
        return self._trace

    @property
    def exceptions(self) -> tuple[BaseException, ...]:
        """All that executes raised, and then what interrupts raised."""
        raised = [actor.exception for actor in self.actors]
        raised += [actor.interrupt_exception for actor in self.actors]
        return tuple(error for error in raised if error is not None)

    def exception_group(self) -> BaseException | None:
        """`exceptions` as a (Base)ExceptionGroup, on Python 3.11 and later.

        None if there are none. Raises NotImplementedError before 3.11.
        """
        if sys.version_info < (3, 11):
            raise NotImplementedError(
                "exception groups need Python 3.11: use .exceptions"
            )
        if not self.exceptions:
            return None
        group = builtins.BaseExceptionGroup  # type: ignore[attr-defined,unused-ignore]
        return cast(BaseException, group("actors of the group", self.exceptions))

    def to_html(self) -> str:
        """A page of its own: the timeline and the text."""
        return page([Timeline.from_trace(self._trace)], self._text)

    def _repr_html_(self) -> str:
        """The timeline, for notebooks."""
        return picture(Timeline.from_trace(self._trace))


def _seconds(nanoseconds: int) -> float | None:
    return None if nanoseconds < 0 else nanoseconds / 1e9


def _format(handle: Handle, form: int) -> str:
    length = 4096
    while True:
        buffer = ctypes.create_string_buffer(length)
        needed = lib.rg_format_report(handle.pointer, form, buffer, length)
        if needed < length:
            return text(buffer.value)
        length = needed + 1024  # it may have grown meanwhile


# ---- the picture ----


@dataclass
class Bar:
    """One actor: from its start to its return. Times in microseconds."""

    name: str
    start: float = 0.0
    end: float = 0.0
    started: bool = False
    code: int | None = None
    message: str = ""
    cause: bool = False
    stuck: bool = False
    interrupt: tuple[float, float] | None = None
    interrupt_stuck: bool = False


@dataclass
class Timeline:
    """A run as the picture needs it."""

    bars: list[Bar]
    stopping: float | None = None
    code: int | None = None
    message: str = ""

    @property
    def end(self) -> float:
        ends = [bar.end for bar in self.bars]
        ends += [bar.interrupt[1] for bar in self.bars if bar.interrupt is not None]
        return max([*ends, self.stopping or 0.0, 1.0])

    @classmethod
    def from_trace(cls, trace: str) -> Timeline:
        """Reads what `to_trace` or RG_FORMAT_TRACE wrote; ValueError for another."""
        try:
            events = json.loads(trace)["traceEvents"]
            bars: dict[int, Bar] = {}
            line = cls([])
            for event in events:
                line._read(event, bars)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"this is not a trace of rungroup's: {error!r}") from error
        line.bars = [bars[tid] for tid in sorted(bars)]
        return line

    def _read(self, event: dict[str, Any], bars: dict[int, Bar]) -> None:
        arguments = event.get("args", {})
        if event["ph"] == "M" and event["name"] == "thread_name":
            bars[event["tid"]] = Bar(str(arguments["name"]))
        elif event["ph"] == "i" and event["name"] == "stopping":
            self.stopping = float(event["ts"])
            self.code = arguments["code"]
            self.message = str(arguments["message"])
        elif event["ph"] == "X":
            bar = bars[event["tid"]]
            begin = float(event["ts"])
            end = begin + float(event["dur"])
            if event["cat"] == "execute":
                bar.started, bar.start, bar.end = True, begin, end
                bar.code = arguments["code"]
                bar.message = str(arguments["message"])
                bar.cause = bool(arguments["cause"])
                bar.stuck = bool(arguments["stuck"])
            elif event["cat"] == "interrupt":
                bar.interrupt = (begin, end)
                bar.interrupt_stuck = bool(arguments["stuck"])


def duration(microseconds: float) -> str:
    """With three significant figures.

    >>> duration(1234.5), duration(2_500_000.0), duration(0.2)
    ('1.23 ms', '2.50 s', '200 ns')
    """
    unit, factor = "s", 1e-6
    for limit, smaller, by in ((1e6, "ms", 1e-3), (1e3, "µs", 1.0), (1.0, "ns", 1e3)):
        if microseconds < limit:
            unit, factor = smaller, by
    value = microseconds * factor
    digits = 0 if unit == "ns" or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


STYLE = """
.rungroup{--ink:#1f2328;--dim:#656d76;--line:#d8dee4;--run:#6e9fd8;--cause:#2da44e;
--stuck:#d1242f;--mark:#9a6700;
font:13px system-ui,sans-serif;color:var(--ink);max-width:960px}
.rungroup svg{width:100%;height:auto;display:block}
.rungroup text{fill:var(--ink);font-size:12px}
.rungroup .dim{fill:var(--dim);font-size:11px}
.rungroup .grid{stroke:var(--line)}
.rungroup .stop{stroke:var(--mark);stroke-dasharray:4 3}
.rungroup .run{fill:var(--run)}.rungroup .cause{fill:var(--cause)}
.rungroup .stuck{fill:var(--stuck)}.rungroup .int{fill:var(--mark)}
.rungroup .int.stuck{fill:var(--stuck)}
.rungroup g.row:hover rect{opacity:.75}
@media (prefers-color-scheme:dark){.rungroup{--ink:#e6edf3;--dim:#8d96a0;--line:#30363d;
--run:#4f7fb8;--cause:#3fb950;--stuck:#f85149;--mark:#d29922}}
"""

LABEL, WIDTH, ROW, TOP = 150, 900, 26, 30  # of the picture, in its own units


def _ticks(end: float) -> list[float]:
    """Round times, about five of them."""
    step = 1e-3
    while end / step > 6:
        for factor in (2, 2.5, 2):  # 1, 2, 5, 10
            step *= factor
            if end / step <= 6:
                break
    return [step * number for number in range(int(end / step) + 1)]


def _said(code: int | None, message: str) -> str:
    if code is None:
        return "has not returned"
    raised = code == _ffi.RG_EPANIC
    return (message if raised else f"code {code}") + (
        f" ({message})" if message and not raised else ""
    )


def picture(line: Timeline) -> str:
    """The timeline as a piece of HTML, complete in itself: a bar an actor."""
    end = line.end
    room = WIDTH - LABEL - 20

    def x(time: float) -> float:
        return round(LABEL + room * time / end, 2)

    height = TOP + ROW * len(line.bars) + 24
    out = [f'<div class="rungroup"><style>{STYLE}</style>']
    label = f"Timeline of {len(line.bars)} actors"
    out.append(f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">')
    bottom = height - 22
    for tick in _ticks(end):
        out.append(
            f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" '
            f'y1="{TOP - 6}" y2="{bottom}"/>'
            f'<text class="dim" x="{x(tick)}" y="{height - 8}" text-anchor="middle">'
            f"{duration(tick) if tick else '0'}</text>"
        )
    for row, bar in enumerate(line.bars):
        out.append(_row(bar, TOP + ROW * row, x, line))
    if line.stopping is not None:
        at = x(line.stopping)
        anchor = "end" if at > WIDTH * 0.6 else "start"
        out.append(
            f'<line class="stop" x1="{at}" x2="{at}" y1="{TOP - 8}" y2="{bottom}"/>'
            f'<text class="dim" x="{at}" y="14" text-anchor="{anchor}">stopping: '
            f"{escape(_said(line.code, line.message))} after "
            f"{duration(line.stopping)}</text>"
        )
    out.append("</svg></div>")
    return "\n".join(out)


def _row(bar: Bar, top: float, x: Any, line: Timeline) -> str:
    name = bar.name if len(bar.name) <= 22 else bar.name[:21] + "…"
    parts = [
        '<g class="row">',
        f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(name)}</text>',
    ]
    if bar.started:
        state = "stuck" if bar.stuck else "cause" if bar.cause else "run"
        facts = [
            bar.name,
            ("ended the group: " if bar.cause else "") + _said(bar.code, bar.message),
            f"ran for {duration(bar.end - bar.start)}",
        ]
        if bar.stuck:
            facts[1] = "STUCK: its execute has not returned"
        elif line.stopping is not None:
            facts.append(f"to stop: {duration(max(bar.end - line.stopping, 0.0))}")
        width = max(x(bar.end) - x(bar.start), 2.0)
        parts.append(
            f'<rect class="{state}" x="{x(bar.start)}" y="{top}" width="{width:.2f}" '
            f'height="18" rx="3"><title>{escape(chr(10).join(facts))}</title></rect>'
        )
    if bar.interrupt is not None:
        begin, end = bar.interrupt
        stuck = " stuck" if bar.interrupt_stuck else ""
        width = max(x(end) - x(begin), 2.0)
        what = f"interrupt of {bar.name}\nat {duration(begin)}, " + (
            "STUCK: it has not returned" if stuck else f"took {duration(end - begin)}"
        )
        parts.append(
            f'<rect class="int{stuck}" x="{x(begin)}" y="{top + 14}" width="{width:.2f}" '
            f'height="6"><title>{escape(what)}</title></rect>'
        )
    parts.append("</g>")
    return "".join(parts)


def page(lines: Iterable[Timeline], words: str = "") -> str:
    """A page with a picture for each timeline; `words` in small type below."""
    pictures = "\n".join(picture(line) for line in lines)
    below = f"<pre>{escape(words)}</pre>" if words else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><title>rungroup</title>'
        f"</head><body>\n{pictures}\n{below}</body></html>\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rungroup.report", description="A page of a run's trace."
    )
    parser.add_argument(
        "trace", nargs="+", help="JSON, as the report's trace form has it"
    )
    parser.add_argument("-o", "--output", help="the page; default: to standard output")
    options = parser.parse_args(arguments)
    lines = []
    for path in options.trace:
        try:
            with open(path, encoding="utf-8") as file:
                lines.append(Timeline.from_trace(file.read()))
        except (OSError, ValueError) as error:
            print(f"rungroup.report: {path}: {error}", file=sys.stderr)
            return 1
    html = page(lines)
    if options.output is None:
        sys.stdout.write(html)
    else:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(html)
    return 0


if __name__ == "__main__":
    sys.exit(main())
