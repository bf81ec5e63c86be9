"""The shared table of cases, through threads and through coroutines."""

import conformance
import pytest
from conftest import ROOT

CASES = conformance.read(ROOT / "tests/conformance/cases.txt")


@pytest.mark.parametrize("way", ["threads", "mixed", "coroutines"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case, way):
    lacking = [need for need in case.needs if need not in conformance.FEATURES]
    if lacking:
        pytest.skip(f"needs {' '.join(lacking)}")
    if way == "coroutines" and "late-" in case.name:
        pytest.skip("`after` would block the loop that the stuck coroutine needs")
    complaints = conformance.Test(case, way).play()
    assert not complaints, f"rule {case.rule}: {case.proves}"
