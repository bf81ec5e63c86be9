"""The bench measures, and knows its ratios; what it measures is not judged."""

import os
import re
import sys

from support import run


def test_bench():
    few = {"LANGUAGES": "c,cpp", "QUICK": "1", "SIZES": "4", "OUT": "build/bench_check"}
    output = run(sys.executable, "benches/run.py", env={**os.environ, **few})
    for ratio in (
        "C rungroup / C pthreads, 64K stacks",
        "C++ rungroup / C++ std::jthread",
    ):
        assert re.search(rf"{re.escape(ratio)} \| \d", output), output
