"""What the package's README and its docstrings show is so."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
from conftest import IN_CHECKOUT, PACKAGE, ROOT

import rungroup


def test_readme():
    readme = Path(__file__).parent.parent / "README.md"
    text = readme.read_text().replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", str(readme), 0)
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert (runner.failures, runner.tries >= 10) == (0, True)


def test_docstrings():
    tried = 0
    for module in pkgutil.iter_modules(rungroup.__path__):
        failed, here = doctest.testmod(importlib.import_module(f"rungroup.{module.name}"))
        assert failed == 0, module.name
        tried += here
    assert tried >= 5


@pytest.mark.skipif(not IN_CHECKOUT, reason="needs the checkout")
@pytest.mark.parametrize("name", ["LICENSE-APACHE", "LICENSE-MIT"])
def test_licences_are_the_projects(name):
    """Copies, since a package holds only what is in its own folder."""
    assert (PACKAGE / name).read_bytes() == (ROOT / name).read_bytes()
