"""A host in Python: runs the actors that plugins bring, in one group with its own.

host.py PLUGIN.so ARGUMENT [PLUGIN.so ARGUMENT ...]
"""

import ctypes
import sys

from rungroup import Failure, Group, StuckError


def load(group, path, argument):
    """Loads a plugin, for good, and lets it add its actors."""
    join = ctypes.CDLL(path).plugin_join
    join.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    group.add_native(lambda pointer: join(pointer, argument.encode()))


def beat(stop):
    """The host's own component: says now and then that all is well."""
    beats = 0
    while not stop.wait(1.0):
        beats += 1
        print("host: beat", beats, flush=True)


def main(arguments):
    group = Group(grace=5.0, order="staged")
    group.add(beat, name="heart (Python)")
    try:
        for path, argument in zip(arguments[::2], arguments[1::2]):
            load(group, path, argument)
    except (OSError, AttributeError, ValueError) as error:
        print("host:", error, file=sys.stderr)
        return 1
    group.add_signals()  # last, and so in staged order the first to be interrupted
    code = 0
    try:
        group.run()
    except Failure as failure:  # also a signal's
        code = failure.code
    except StuckError:
        code = 1
    print(group.report, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
