"""One group, actors in Python and of plugins in C, Rust and Go."""

import ctypes
import os

import pytest
from conftest import GRACE, ROOT

from rungroup import Code, Failure, Group, StuckError

PROBES = {
    language: ROOT / f"build/plugins/probe_{language.lower()}.so"
    for language in ("C", "Rust", "Go")
}
pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in PROBES.values()) and not os.environ.get("CI"),
    reason="scripts/plugins.sh has not built the probes",
)
LANGUAGES = [*PROBES, "Python"]


def actor(does):
    """What the plugins' actors do, in Python."""

    def execute(stop):
        if does == "return":
            return Code(3)
        if does == "fail":
            raise ValueError("said in Python")
        stop.wait()
        return 0

    return execute


def group_of(who, does, others="wait", **options):
    """An actor of each language: that one does something."""
    group = Group(**options)
    for language in LANGUAGES:
        doing = does if language == who else others
        if language == "Python":
            group.add(actor(doing), name="Python")
        else:
            join = ctypes.CDLL(str(PROBES[language])).plugin_join
            join.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            argument = doing.encode()
            group.add_native(lambda pointer, join=join, to=argument: join(pointer, to))
    return group


@pytest.mark.parametrize("who", LANGUAGES)
def test_the_first_to_return(who):
    group = group_of(who, "return")
    with pytest.raises(Failure) as raised:
        group.run()
    assert (raised.value.code, group.cause.actor) == (3, who)


@pytest.mark.parametrize("who", LANGUAGES)
def test_the_first_to_fail_is_heard_in_every_language(who):
    group = group_of(who, "fail", others="echo")
    # The host gets its own language's object, and of others' the text.
    with pytest.raises(ValueError if who == "Python" else Failure) as raised:
        group.run()
    assert str(raised.value) == f"said in {who}"
    heard = {
        actor.name: actor.message
        for actor in group.report.actors
        if actor.name not in (who, "Python")
    }
    said = f"ValueError: said in {who}" if who == "Python" else f"said in {who}"
    assert set(heard.values()) <= {said, f"said in {who}"} and len(heard) >= 2


@pytest.mark.parametrize("order", ["added", "reverse", "staged"])
def test_the_order_holds_across_languages(order):
    group = group_of("Rust", "return", order=order)
    with pytest.raises(Failure):
        group.run()
    actors = group.report.actors
    in_order = actors if order == "added" else actors[::-1]
    for before, after in zip(in_order, in_order[1:]):
        assert before.interrupted <= after.interrupting
        if order == "staged":
            assert before.returned <= after.interrupting


def test_many_times():
    for i in range(500):
        who = LANGUAGES[i % len(LANGUAGES)]
        group = group_of(who, "return", grace=60.0 if i % 3 else None)
        with pytest.raises(Failure):
            group.run()
        assert group.cause.actor == who


@pytest.mark.parametrize("who", [*PROBES])
def test_stuck(who):
    group = group_of(who, "stick", grace=GRACE)
    group.add(lambda: None, lambda cause: None, name="ends")
    with pytest.raises(StuckError) as raised:
        group.run()
    assert raised.value.actors == (who,)
