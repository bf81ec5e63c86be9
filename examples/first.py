"""Two actors wait; the third counts to three and returns: all of them end."""

from functools import partial

from rungroup import Group


def wait_for_stop(name, stop):
    stop.wait()
    print(f"{name}: returned")


def count_to_three(name, stop):
    for i in 1, 2, 3:
        if stop.wait(1.0):
            break
        print(f"{name}: {i}")
    print(f"{name}: returned")


def interrupt(name, cause):
    print(f"{name}: interrupted, code {cause.code}")


group = Group()
for name, execute in (
    ("first", wait_for_stop),
    ("second", wait_for_stop),
    ("third", count_to_three),
):
    group.add(partial(execute, name), partial(interrupt, name), name=name)
group.run()
