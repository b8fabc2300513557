"""Settings of the interpreter for a stream: one thread reads and decodes, another one commits."""

import gc
import sys

SWITCH_SECONDS = 0.0005
OBJECTS_A_COLLECTION = 200_000


def prepare_for_stream() -> None:
    """Let a process spend its time on events.

    Whoever commits waits for the server a dozen times a batch, and after each answer for its turn
    of the interpreter, which the reading thread holds for 5 ms by default. And a batch is some ten
    thousand objects without cycles, which the collector would look through again and again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION, *gc.get_threshold()[1:])
