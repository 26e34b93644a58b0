"""Blocking calls by the threads of the standard library, one side per way.

Rows block.N.KIND: a ThreadPoolExecutor of N threads.  Rows thread.N.KIND: a threading.Thread each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import harness
import work


def executor_wave(n: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(n) as pool:
        futures = [pool.submit(call) for _ in range(n)]
        for future in futures:
            future.result()
        elapsed = time.perf_counter() - start
        harness.threads_seen.look()
    return elapsed


def thread_wave(n: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    threads = [threading.Thread(target=call) for _ in range(n)]
    for thread in threads:
        thread.start()
    harness.threads_seen.look()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def start(fn: Callable[[], object]) -> Callable[[], object]:
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(fn()))
    thread.start()

    def end() -> object:
        thread.join()
        return result[0]

    return end


def here(measure: Callable[[], list[float]]) -> list[float]:
    return measure()


def offload(options: harness.Options) -> list[float]:
    spin = work.spin_function()
    with ThreadPoolExecutor(1) as pool:

        def loop(n: int) -> float:
            begun = time.perf_counter_ns()
            for _ in range(n):
                pool.submit(spin, 1000).result()
            return time.perf_counter_ns() - begun

        return harness.sample_loop(options, loop)


if __name__ == "__main__":
    bare = harness.block_rows(thread_wave)
    harness.main(
        {
            **work.tick_rows(here, start, time.sleep),
            **work.two_rows(here, start),
            "pg.psycopg2": work.psycopg2_row(here, start),
            "offload": harness.Row("ns", offload),
            **harness.block_rows(executor_wave),
            **{name.replace("block", "thread", 1): row for name, row in bare.items()},
        }
    )
