"""Blocking calls by the thousand, over several processes: python examples/dask_cluster.py

Dask's `distributed` sends calls to worker processes, here or on other machines.  A worker runs as
many at once as it is told it has threads; its executor is what they run on.  With gosched.Executor
they are green threads, so that a worker can have a thousand calls in C at once: `executor` is made
anew in each worker process.

On other machines the same, as the file worker.py, for `dask worker --preload worker.py --nthreads
500 tcp://…`:

    def dask_setup(worker):
        worker.executors["default"] = gosched.Executor()
"""

from __future__ import annotations

import argparse
import functools
import os
import time

import gosched
from distributed import Client, LocalCluster


@functools.cache
def libc() -> gosched.Library:
    """The C library; opened where the call runs, for a library cannot be sent."""
    return gosched.dlopen(None, "int usleep(unsigned usec);", blocking=["usleep"])


def nap(number: int) -> tuple[int, int, int]:
    """Blocks in C for 0.2 s.  The number, the process, and how many were in C as this one began."""
    library = libc()
    meanwhile = gosched.stats()["incgo"]
    library.usleep(200_000)
    return number, os.getpid(), meanwhile


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with (
        LocalCluster(
            n_workers=options.workers,
            threads_per_worker=500,
            executor=gosched.Executor(),
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        begin = time.monotonic()
        done = client.gather(client.map(nap, range(options.calls)))
        took = time.monotonic() - begin
    assert [number for number, _, _ in done] == list(range(options.calls))
    print(f"{options.calls} calls of 0.2 s took {took:.2f} s")
    for process in sorted({process for _, process, _ in done}):
        calls = [meanwhile for _, where, meanwhile in done if where == process]
        print(f"  process {process}: {len(calls)} calls, {max(calls) + 1} in C at once")


if __name__ == "__main__":
    main()
