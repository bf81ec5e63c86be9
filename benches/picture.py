"""Draws the cycle's times: picture.py RESULTS.json PICTURE.svg"""

import json
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "rungroup"
import matplotlib.pyplot as plt  # noqa: E402

PANELS = {
    "Threads: C, C++, Rust": ("threads",),
    "Tasks and goroutines": ("tasks", "goroutines"),
    "Python": ("Python threads", "coroutines"),
}
OURS = ["#c1121f", "#f4743b", "#7b2cbf"]
THEIRS = ["#184e77", "#1e88a8", "#5fa777", "#8d99ae", "#adb17d", "#6c757d"]


def points(data: dict, label: str) -> list[tuple[int, float]]:
    """The number of actors, and the microseconds of a cycle for each of them."""
    cells = (cell for cell in data["cells"] if cell["mode"] == "bar")
    return [
        (cell["size"], statistics.median(r[0] for r in rounds) / 1000 / cell["size"])
        for cell in cells
        if (rounds := cell["rounds"].get(label)) and not isinstance(rounds, str)
    ]


def main() -> None:
    with open(sys.argv[1]) as file:
        data = json.load(file)
    figure, axes = plt.subplots(1, 3, figsize=(13, 5.5))
    for axis, (title, kinds) in zip(axes, PANELS.items()):
        ours, theirs, marks = iter(OURS), iter(THEIRS), iter("osD^v<>P")
        for label in (label for label, kind in data["systems"].items() if kind in kinds):
            line = points(data, label)
            if not line:
                continue
            own = "rungroup" in label
            axis.loglog(
                *zip(*line),
                marker=next(marks, "o"),
                markersize=4,
                color=next(ours if own else theirs, None),
                linewidth=2.5 if own else 1.2,
                zorder=3 if own else 2,
                label=label.removeprefix("Python "),
            )
        axis.set_title(title)
        axis.set_xlabel("actors in the group")
        axis.grid(True, which="both", color="#eeeeee")
        axis.legend(
            fontsize=8,
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            frameon=False,
        )
    axes[0].set_ylabel("µs an actor: make, start, stop, end")
    machine = data["machine"]
    figure.suptitle(
        f"One life of a group, an actor's share; lower is better "
        f"({machine['date']}; {machine['cpu']})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
