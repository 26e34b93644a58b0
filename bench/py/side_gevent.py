"""gevent, unpatched: greenlets, sleep(0), SimpleQueue, its thread pool."""

from __future__ import annotations

import time
from collections.abc import Callable

import harness
import work

try:
    import gevent
    from gevent.event import Event
    from gevent.queue import SimpleQueue
    from gevent.threadpool import ThreadPool
except ImportError as error:
    harness.unmeasured(error)


def do_nothing() -> None:
    pass


def spawn(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(n):
        gevent.spawn(do_nothing).join()
    return time.perf_counter_ns() - start


def take_turns(n: int) -> None:
    for _ in range(n):
        gevent.sleep(0)


def switch(n: int) -> float:
    turns = n // 2 + 1
    start = time.perf_counter_ns()
    gevent.joinall([gevent.spawn(take_turns, turns), gevent.spawn(take_turns, turns)])
    return (time.perf_counter_ns() - start) * n / (2 * turns)


def round_trip(n: int) -> float:
    there, back = SimpleQueue(), SimpleQueue()

    def echo() -> None:
        for _ in range(n):
            back.put(there.get())

    greenlet = gevent.spawn(echo)
    start = time.perf_counter_ns()
    for i in range(n):
        there.put(i)
        if back.get() != i:
            raise RuntimeError(f"item {i} did not come back")
    elapsed = time.perf_counter_ns() - start
    greenlet.join()
    return elapsed


def wave(n: int, call: Callable[[], object]) -> float:
    gevent.get_hub()  # the loop is there before the clock runs, as in the other sides
    start = time.perf_counter()
    pool = ThreadPool(n)
    results = [pool.spawn(call) for _ in range(n)]
    for result in results:
        result.get()
    elapsed = time.perf_counter() - start
    harness.threads_seen.look()
    pool.kill()
    return elapsed


def offload() -> Callable[[int], float]:
    spin = work.spin_function()
    pool = ThreadPool(1)
    pool.spawn(spin, 1000).get()

    def loop(n: int) -> float:
        begun = time.perf_counter_ns()
        for _ in range(n):
            pool.spawn(spin, 1000).get()
        return time.perf_counter_ns() - begun

    return loop


PARKED = 10_000


def parked(_options: harness.Options) -> list[float]:
    gate = Event()
    waiting = 0

    def wait() -> None:
        nonlocal waiting
        waiting += 1
        gate.wait()

    before = work.resident_bytes()
    greenlets = [gevent.spawn(wait) for _ in range(PARKED)]
    while waiting < PARKED:
        gevent.sleep(0.001)
    each = (work.resident_bytes() - before) / PARKED
    gate.set()
    gevent.joinall(greenlets)
    return [each]


def loop_row(body: harness.Loop) -> harness.Row:
    return harness.Row("ns", lambda options: harness.sample_loop(options, body))


if __name__ == "__main__":
    harness.main(
        {
            "spawn.join": loop_row(spawn),
            "switch": loop_row(switch),
            "chan": loop_row(round_trip),
            "offload": harness.Row("ns", lambda options: harness.sample_loop(options, offload())),
            "parked": harness.Row("bytes", parked),
            **harness.block_rows(wave),
        }
    )
