"""Blocking calls by the threads of the standard library, one side per way.

Rows block.N.KIND: a ThreadPoolExecutor of N threads.  Rows thread.N.KIND: a threading.Thread each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import harness


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


if __name__ == "__main__":
    bare = harness.block_rows(thread_wave)
    harness.main(
        {
            **harness.block_rows(executor_wave),
            **{name.replace("block", "thread", 1): row for name, row in bare.items()},
        }
    )
