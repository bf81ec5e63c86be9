"""Pictures of a run, made of the trace that a report of any language wrote.

    python -m rungroup.report trace.json -o report.html

makes one page, complete in itself; so does the command rungroup-report.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from . import _ffi

__all__ = ["Bar", "Timeline", "page", "picture"]


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
    title: str = ""

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
        elif event["ph"] == "X" and event["cat"] == "execute":
            bar = bars[event["tid"]]
            bar.started, bar.start = True, float(event["ts"])
            bar.end = bar.start + float(event["dur"])
            bar.code = arguments["code"]
            bar.message = str(arguments["message"])
            bar.cause = bool(arguments["cause"])
            bar.stuck = bool(arguments["stuck"])
        elif event["ph"] in ("b", "e") and event["cat"] == "interrupt":
            bar = bars[event["id"]]
            time = float(event["ts"])
            bar.interrupt = (bar.interrupt[0] if bar.interrupt else time, time)
            bar.interrupt_stuck = bool(arguments["stuck"])


def duration(microseconds: float) -> str:
    """With three significant figures.

    >>> duration(1234.5), duration(2_500_000.0), duration(0.2)
    ('1.23 ms', '2.50 s', '200 ns')
    """
    units = ((1.0, "ns", 1e3), (1e3, "µs", 1.0), (1e6, "ms", 1e-3), (math.inf, "s", 1e-6))
    unit, factor = next(row[1:] for row in units if microseconds < row[0])
    value = microseconds * factor
    digits = 0 if unit == "ns" or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


STYLE = """
.rungroup{--paper:#fff;--ink:#1f2328;--dim:#59636e;--line:#d8dee4;
--run:#6e9fd8;--cause:#2da44e;--stuck:#d1242f;--mark:#b47c00;
background:var(--paper);color:var(--ink);font:13px/1.4 system-ui,sans-serif;
max-width:940px;padding:8px 12px;border-radius:6px;overflow-x:auto}
@media (prefers-color-scheme:dark){.rungroup{--paper:#0d1117;--ink:#e6edf3;--dim:#9198a1;
--line:#30363d;--run:#4f7fb8;--cause:#3fb950;--stuck:#f85149;--mark:#e3b341}}
.rungroup p{margin:4px 0}
.rungroup svg{width:100%;min-width:640px;height:auto;display:block}
.rungroup text{fill:var(--ink);font-size:12px}
.rungroup .dim{fill:var(--dim);color:var(--dim);font-size:11px}
.rungroup .grid{stroke:var(--line)}
.rungroup .stop{stroke:var(--mark);stroke-dasharray:4 3}
.rungroup .run{fill:var(--run)} .rungroup .cause{fill:var(--cause)}
.rungroup .int{fill:var(--mark)} .rungroup .stuck{fill:var(--stuck)}
.rungroup .row:hover rect{opacity:.75}
"""
LEGEND = (("run", "runs"), ("cause", "ended the group"), ("int", "interrupt"))

LABEL, WIDTH, ROW, TOP = 150, 900, 28, 30  # of the picture, in its own units
Scale = Callable[[float], float]


def _ticks(end: float) -> list[float]:
    """Round times, about five of them."""
    step = 10.0 ** math.floor(math.log10(end / 5))
    step *= next(factor for factor in (1, 2, 5, 10) if end / (step * factor) <= 6)
    return [step * number for number in range(int(end / step) + 1)]


def _said(code: int | None, message: str) -> str:
    if code is None:
        return "has not returned"
    if code == _ffi.RG_EPANIC:
        return message or "an exception or a panic"
    return f"code {code}" + (f" ({message})" if message else "")


def _headline(line: Timeline) -> str:
    """What ended the run, in a sentence."""
    if line.stopping is None:
        return f"{len(line.bars)} actors, running"
    cause = next((repr(bar.name) for bar in line.bars if bar.cause), None)
    words = f"ended by {cause}" if cause else "stopped from outside"
    words += f": {_said(line.code, line.message)}, after {duration(line.stopping)}"
    stuck = [repr(bar.name) for bar in line.bars if bar.stuck or bar.interrupt_stuck]
    if stuck:
        return f"{words}; STUCK: {', '.join(stuck)}"
    return f"{words}; stopped in {duration(line.end - line.stopping)}"


def picture(line: Timeline) -> str:
    """The timeline as a piece of HTML, complete in itself: a bar an actor."""
    end = line.end
    room = WIDTH - LABEL - 30

    def x(time: float) -> float:
        return round(LABEL + room * time / end, 2)

    height = TOP + ROW * len(line.bars) + 24
    bottom = height - 22
    legend = list(LEGEND)
    if any(bar.stuck or bar.interrupt_stuck for bar in line.bars):
        legend.append(("stuck", "stuck"))
    title = f"<b>{escape(line.title)}</b> " if line.title else ""
    out = [
        f'<div class="rungroup"><style>{STYLE}</style>',
        f"<p>{title}{escape(_headline(line))}</p>",
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Timeline of {len(line.bars)} actors">',
    ]
    for tick in _ticks(end):
        out.append(
            f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 6}" '
            f'y2="{bottom}"/><text class="dim" x="{x(tick)}" y="{height - 8}" '
            f'text-anchor="middle">{duration(tick) if tick else "0"}</text>'
        )
    for number, (name, words) in enumerate(legend):
        left = 8 + 110 * number
        out.append(
            f'<rect class="{name}" x="{left}" y="4" width="10" height="10" rx="2"/>'
            f'<text class="dim" x="{left + 14}" y="13">{words}</text>'
        )
    out += (_row(bar, TOP + ROW * row, x, line) for row, bar in enumerate(line.bars))
    if line.stopping is not None:
        at = x(line.stopping)
        anchor = "end" if at > WIDTH * 0.8 else "middle" if at > WIDTH * 0.6 else "start"
        out.append(
            f'<line class="stop" x1="{at}" x2="{at}" y1="{TOP - 8}" y2="{bottom}"/>'
            f'<text class="dim" x="{at}" y="16" text-anchor="{anchor}">stopping, at '
            f"{duration(line.stopping)}</text>"
        )
    out.append("</svg></div>")
    return "\n".join(out)


def _row(bar: Bar, top: float, x: Scale, line: Timeline) -> str:
    name = bar.name if len(bar.name) <= 20 else bar.name[:19] + "…"
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
            f'<g class="int{stuck}"><title>{escape(what)}</title>'
            f'<rect x="{x(begin)}" y="{top - 2}" width="3" height="22"/>'
            f'<rect x="{x(begin)}" y="{top + 15}" width="{width:.2f}" height="5"/></g>'
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
        "<style>pre{overflow-x:auto}</style>"
        f"</head><body>\n{pictures}\n{below}</body></html>\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="rungroup-report", description="Makes a page with a timeline of each run."
    )
    parser.add_argument(
        "trace", nargs="+", help="a trace that a report wrote (to_trace, RG_FORMAT_TRACE)"
    )
    parser.add_argument("-o", "--output", help="the page; default: to standard output")
    options = parser.parse_args(arguments)
    lines = []
    for path in options.trace:
        try:
            with open(path, encoding="utf-8") as file:
                line = Timeline.from_trace(file.read())
        except (OSError, ValueError) as error:
            print(f"rungroup-report: {path}: {error}", file=sys.stderr)
            return 1
        line.title = os.path.basename(path)
        lines.append(line)
    html = page(lines)
    if options.output is None:
        sys.stdout.write(html)
    else:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(html)
    return 0


if __name__ == "__main__":
    sys.exit(main())
