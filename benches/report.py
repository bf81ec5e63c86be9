"""The table of a run, in Markdown."""

import statistics

CYCLE, TEARDOWN, FIRST = 0, 1, 2

# Ours, theirs, and for each N up to what ratio we want to be (None: no target).
RATIOS = [
    ("C rungroup", "C pthreads, 64K stacks", [0.95, 0.97, 0.93, 0.8, 0.72]),
    ("C rungroup", "C pthreads, 8M stacks", []),
    ("C rungroup", "C++ std::jthread", [1.05, 0.75, 0.75, 0.7, 0.6]),
    ("C rungroup", "Rust std::thread::scope", [0.95, 0.65, 0.55, 0.45, 0.35]),
    ("C++ rungroup", "C++ std::jthread", []),
    ("Rust rungroup", "Rust std::thread::scope", []),
    ("Rust rungroup", "Rust crossbeam", []),
    ("Go rungroup", "Go oklog/run", [2.0, 1.45, 1.3, 1.25, 1.6]),
    ("Go rungroup, a grace", "Go oklog/run", [3.5, 3.0, 2.5, 2.5, 2.5]),
    ("Go rungroup", "Go errgroup", []),
    ("Python rungroup threads", "Python threading", [1.7, 1.25, 1.4, 1.25]),
    ("Python rungroup threads, an Event each", "Python threading, an Event each", []),
    ("Python rungroup threads", "Python concurrent.futures", []),
    (
        "Python rungroup coroutines",
        "Python asyncio.TaskGroup",
        [2.3, 2.1, 2.1, 1.7],
    ),
    ("Python rungroup coroutines", "Python trio", []),
    ("Python rungroup coroutines", "Python anyio", []),
]
# The same from a SIGTERM to the end.
STOPS = [
    ("Go rungroup", "Go oklog/run", [1.15, 1.15, 1.15]),
    ("Python rungroup threads", "Python threading, an Event each", [1.5, 1.5, 1.5]),
    ("Python rungroup coroutines", "Python asyncio.TaskGroup", [1.5, 1.5, 1.5]),
]
TARGET_SIZES = [4, 16, 100, 1000, 10_000, 100_000]


def values(cell: dict, label: str, part: int) -> list[int] | None:
    rounds = cell["rounds"].get(label)
    if not rounds or isinstance(rounds, str):
        return None
    return [figures[part] for figures in rounds]


def time_text(ns: float) -> str:
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= scale or unit == "µs":
            value = ns / scale
            digits = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError


def spread(numbers: list[int]) -> float | None:
    """Half of what lies between the quarters, as a part of the median."""
    if len(numbers) < 4:
        return None
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return (high - low) / 2 / middle


def cell_text(numbers: list[int] | None) -> str:
    if numbers is None:
        return "–"
    text = time_text(statistics.median(numbers))
    around = spread(numbers)
    return text if around is None else f"{text} ± {around:.0%}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(cell: dict, ours: str, theirs: str, part: int) -> float | None:
    """The median of the rounds' ratios: neighbours in time compare best."""
    left, right = values(cell, ours, part), values(cell, theirs, part)
    if left is None or right is None:
        return None
    return statistics.median(a / b for a, b in zip(left, right))


def ratio_rows(data: dict, mode: str) -> list[list[str]]:
    cells = {cell["size"]: cell for cell in data["cells"] if cell["mode"] == mode}
    rows = []
    part = TEARDOWN if mode == "term" else CYCLE
    for ours, theirs, targets in STOPS if mode == "term" else RATIOS:
        row = [f"{ours} / {theirs}"]
        wanted = dict(zip(TARGET_SIZES, targets)) if mode != "imm" else {}
        for size in data["sizes"]:
            got = ratio(cells[size], ours, theirs, part) if size in cells else None
            text = "–" if got is None else f"{got:.2f}"
            if got is not None and size in wanted:
                missed = got > wanted[size]
                text += f" ({'**above** ' if missed else '≤ '}{wanted[size]})"
            row.append(text)
        if set(row[1:]) != {"–"}:
            rows.append(row)
    return rows


def bytes_text(count: float) -> str:
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if abs(count) >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def markdown(data: dict) -> str:
    machine, heads = data["machine"], [f"N = {size}" for size in data["sizes"]]
    labels = list(data["systems"])
    all_spreads = [
        around
        for cell in data["cells"]
        for label in labels
        if (numbers := values(cell, label, CYCLE))
        and (around := spread(numbers)) is not None
    ]
    noise = f"{statistics.median(all_spreads):.0%}" if all_spreads else "unknown"
    parts = [
        "# Benchmarks",
        f"Measured on {machine['date']} by `make bench`, in {data['seconds']} s, on "
        f"{machine['cpu']}; {machine['system']}; {machine['tools']}. Up to {data['rounds']} "
        "rounds, in which the systems take turns; medians, ± half of what lies between the "
        f"quarters ({noise} in the median cell). Load average {data['load'][0]} before and "
        f"{data['load'][1]} after; the bench itself makes up to 1 to 2 of it. Compare within "
        "a column, not between machines.",
        "A new group (or what comes nearest), N actors of which N - 1 wait until they are "
        "stopped and one returns, its run and its end. *bar*: the one returns when all have "
        "started; *imm*: at once. *Teardown*: from its return to the end of the run. "
        "*term*: none returns, and what counts is the time from a SIGTERM to the end. "
        "`benches/README.md` has the rest.",
        "![The time of a cycle over the number of actors](benchmarks.svg)",
        "## Ratios of the cycle",
        "Medians of the rounds' own ratios, with the target in brackets where there is one; "
        "below 1, rungroup is faster.",
    ]
    for mode in ("bar", "imm", "term"):
        if rows := ratio_rows(data, mode):
            parts += [f"### {mode}", table([mode, *heads], rows)]
    parts.append("## Times")
    for title, mode, part in (
        ("Cycle, bar", "bar", CYCLE),
        ("Teardown, bar", "bar", TEARDOWN),
        ("From the group's making to its first execute, bar", "bar", FIRST),
        ("Cycle, imm", "imm", CYCLE),
        ("From SIGTERM to the end, term", "term", TEARDOWN),
    ):
        cells = {cell["size"]: cell for cell in data["cells"] if cell["mode"] == mode}
        rows = [
            [label]
            + [
                cell_text(values(cells[size], label, part)) if size in cells else "–"
                for size in data["sizes"]
            ]
            for label in labels
            if any(values(cell, label, part) for cell in cells.values())
        ]
        if rows:
            parts += [f"### {title}", table(["", *heads], rows)]
    rows = [
        [label, *(map(bytes_text, figures) if figures else ("–", "–"))]
        for label, figures in data["footprints"].items()
    ]
    parts += ["## Memory an actor, of 1000", table(["", "resident", "virtual"], rows)]
    broken = [
        f"- {label}, {cell['mode']}, N = {cell['size']}: {rounds}"
        for cell in data["cells"]
        for label, rounds in cell["rounds"].items()
        if isinstance(rounds, str)
    ]
    left_out = broken + [f"- {line.splitlines()[0]}" for line in data["missing"]]
    if left_out:
        parts += ["## Left out, and notes", "\n".join(left_out)]
    return "\n\n".join(parts) + "\n"
