"""greenlet alone, without a scheduler: the floor of what switches C stacks in Python.

A switch here names whom it goes to, and nothing is queued.  Rows: spawn.join (a greenlet is made,
entered, and returns to its parent) and switch.
"""

from __future__ import annotations

import itertools
import time

import harness

try:
    import greenlet
except ImportError as error:
    harness.unmeasured(error)


def do_nothing() -> None:
    pass


def spawn(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, n):
        greenlet.greenlet(do_nothing).switch()
    return time.perf_counter_ns() - start


def switch(n: int) -> float:
    here = greenlet.getcurrent()

    def turn() -> None:
        while True:
            here.switch()

    other = greenlet.greenlet(turn)
    rounds = n // 2 + 1
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, rounds):
        other.switch()
    return (time.perf_counter_ns() - start) * n / (2 * rounds)


def loop_row(body: harness.Loop) -> harness.Row:
    return harness.Row("ns", lambda options: harness.sample_loop(options, body))


if __name__ == "__main__":
    harness.main({"spawn.join": loop_row(spawn), "switch": loop_row(switch)})
