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


def main() -> None:
    with open(sys.argv[1]) as file:
        data = json.load(file)
    cells = [cell for cell in data["cells"] if cell["mode"] == "bar"]
    figure, axes = plt.subplots(1, 3, figsize=(13, 5))
    for axis, (title, kinds) in zip(axes, PANELS.items()):
        ours = iter(["#c1121f", "#f4743b", "#7b2cbf"])
        theirs = iter(["#184e77", "#1e88a8", "#5fa777", "#8d99ae", "#adb17d", "#6c757d"])
        marks = iter("osD^v<>")
        for label in (label for label, kind in data["systems"].items() if kind in kinds):
            points = [
                (cell["size"], statistics.median(r[0] for r in rounds) / 1000)
                for cell in cells
                if (rounds := cell["rounds"].get(label)) and not isinstance(rounds, str)
            ]
            if not points:
                continue
            own = "rungroup" in label
            axis.loglog(
                *zip(*points),
                marker=next(marks, "o"),
                markersize=4,
                color=next(ours if own else theirs, None),
                linewidth=2.5 if own else 1.2,
                zorder=3 if own else 2,
                label=label.removeprefix("Python "),
            )
        axis.set_title(title)
        axis.set_xlabel("actors")
        axis.grid(True, which="major", color="#e5e5e5")
        axis.legend(fontsize=8)
    axes[0].set_ylabel("µs a cycle: make, start all, stop all, end")
    machine = data["machine"]
    figure.suptitle(
        f"One life of a group ({machine['date']}; {machine['cpu']})", fontsize=11
    )
    figure.tight_layout()
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
