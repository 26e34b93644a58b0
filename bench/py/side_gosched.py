"""gosched itself: green threads, yield, channels, foreign calls, blocking calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

import harness

try:
    import gosched
except ImportError as error:
    harness.unmeasured(error)


def do_nothing() -> None:
    pass


def spawn(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(n):
        gosched.go(do_nothing).join()
    return time.perf_counter_ns() - start


def take_turns(n: int) -> None:
    for _ in itertools.repeat(None, n):
        gosched.yield_now()


def switch(n: int) -> float:
    turns = n // 2 + 1
    start = time.perf_counter_ns()
    first, second = gosched.go(take_turns, turns), gosched.go(take_turns, turns)
    first.join()
    second.join()
    return (time.perf_counter_ns() - start) * n / (2 * turns)


def round_trip(n: int) -> float:
    there, back = gosched.Chan(), gosched.Chan()

    def echo() -> None:
        for _ in range(n):
            back.send(there.recv())

    green = gosched.go(echo)
    start = time.perf_counter_ns()
    for i in range(n):
        there.send(i)
        if back.recv() != i:
            raise RuntimeError(f"item {i} did not come back")
    elapsed = time.perf_counter_ns() - start
    green.join()
    return elapsed


def call_add(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, n):
        add(1, 2)
    return time.perf_counter_ns() - start


def add(a: int, b: int) -> int:
    """Stands in until load_add puts the foreign function in its place."""
    raise NotImplementedError


def load_add() -> None:
    global add
    library = gosched.dlopen(harness.target_library(), "int gsbench_add(int a, int b);")
    add = library.gsbench_add
    if add(1, 2) != 3:
        raise RuntimeError(f"add(1, 2) returned {add(1, 2)}")


def in_green_thread(measure: Callable[[], float]) -> float:
    """What measure returns, on a green thread that is not the main one: that one is locked to its
    OS thread, and hot work belongs elsewhere.
    """
    elapsed: float = gosched.go(measure).result()
    return elapsed


def loop_row(body: harness.Loop, set_up: Callable[[], None] = do_nothing) -> harness.Row:
    def main(options: harness.Options) -> list[float]:
        set_up()
        return harness.sample_loop(options, lambda n: in_green_thread(lambda: body(n)))

    return harness.Row("ns", lambda options: gosched.run(main, options))


def foreign_usleep() -> Callable[[], object]:
    usleep = gosched.dlopen(None, "int usleep(unsigned int usec);").usleep
    return lambda: usleep(int(harness.BLOCKING_SECONDS * 1e6))


def wave(n: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    greens = [gosched.go(call) for _ in range(n)]
    for green in greens:
        green.join()
    elapsed = time.perf_counter() - start
    harness.threads_seen.look()
    return elapsed


def block_row(n: int, kind: str) -> harness.Row:
    def main() -> float:
        call = foreign_usleep() if kind == "usleep" else harness.blocking_call(kind)
        return wave(n, call)

    def measure(_options: harness.Options) -> Iterable[float]:
        return [gosched.run(main) * 1e3]

    return harness.Row("ms", measure)


if __name__ == "__main__":
    harness.main(
        {
            "call.add": loop_row(call_add, load_add),
            "spawn.join": loop_row(spawn),
            "switch": loop_row(switch),
            "chan": loop_row(round_trip),
            **{
                f"block.{n}.{kind}": block_row(n, kind)
                for n in (100, 1000)
                for kind in ("usleep", "sleep")
            },
        }
    )
