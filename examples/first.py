"""Two actors wait; the third counts to three and returns: all of them end."""

from functools import partial

from rungroup import Group


def say(text):
    print(f"{text}\n", end="")  # in one piece: lines of threads don't mix


def wait_for_stop(name, stop):
    stop.wait()
    say(f"{name}: returned")


def count_to_three(name, stop):
    for i in 1, 2, 3:
        if stop.wait(1.0):
            break
        say(f"{name}: {i}")
    say(f"{name}: returned")


def interrupt(name, cause):
    say(f"{name}: interrupted, code {cause.code}")


group = Group()
for name, execute in (
    ("first", wait_for_stop),
    ("second", wait_for_stop),
    ("third", count_to_three),
):
    group.add(partial(execute, name), partial(interrupt, name), name=name)
group.run()
