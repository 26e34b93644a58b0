"""Ten thousand foreign calls that are really in C at once, each on a thread that waits there."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import cffi
import gosched
import pytest
from conftest import os_threads, until

CALLS = 10_000
SEMAPHORE_SIZE = 64  # bytes; sizeof(sem_t) is 32
SPARE = 500  # threads of this machine that are not ours

SEMAPHORE = """
int sem_init(void *s, int shared, unsigned value);
int sem_wait(void *s);
int sem_post(void *s);
"""


def threads_allowed() -> int:
    """How many threads this process may have, by every limit that has a number."""
    limits = [CALLS + SPARE]
    of_user = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if of_user != resource.RLIM_INFINITY:
        limits.append(of_user)
    limits += [
        int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("threads-max", "pid_max")
    ]
    # A thread is two mappings: its stack, and the page before it.
    limits.append(int(Path("/proc/sys/vm/max_map_count").read_text()) // 3)
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        group = line.split(":", 2)[2]
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
            # In a container the group's own path may not be there; the root is the container's.
            for path in (Path(root + group) / "pids.max", Path(root) / "pids.max"):
                try:
                    text = path.read_text().strip()
                except OSError:
                    continue
                if re.fullmatch(r"\d+", text):
                    limits.append(int(text))
    return min(limits)


def test_all_are_in_c_at_once():
    calls = min(CALLS, threads_allowed() - SPARE)
    if calls < 100:
        pytest.skip(f"this system allows no more than {calls + SPARE} threads")
    if calls < CALLS:
        print(f"\n{calls} calls, not {CALLS}: this system allows no more threads")
    ffi = cffi.FFI()
    lib = gosched.dlopen(None, SEMAPHORE)
    gate = ffi.new("char[]", SEMAPHORE_SIZE)
    assert lib.sem_init(gate, 0, 0) == 0

    def main() -> tuple[int, int]:
        before = os_threads()
        waiting = [gosched.go(lib.sem_wait, gate) for _ in range(calls)]
        # The one more is there already: it waits for nothing but the next call.
        until(lambda: os_threads() >= before + calls - 1)
        until(lambda: all(g.state == "syscall" for g in waiting))
        most = os_threads()
        for _ in waiting:
            lib.sem_post(gate)
        return most, sum(g.result() == 0 for g in waiting)

    most, done = gosched.run(main, max_threads=calls + SPARE)
    assert done == calls
    assert most >= calls
