"""os.fork: the child goes on with the green thread that forked, and everything works there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable

import gosched
import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def double(n: int) -> int:
    time.sleep(0.001)
    gosched.sleep(0.001)
    return n * 2


def everything_works() -> None:
    with gosched.TaskGroup() as group:
        greens = [group.go(double, i) for i in range(10)]
    assert [g.result() for g in greens] == [2 * i for i in range(10)]
    chan: gosched.Chan[int] = gosched.Chan()

    def send() -> None:
        for i in range(5):
            chan.send(i)
        chan.close()

    gosched.go(send)
    assert list(chan) == list(range(5))


def in_child(work: Callable[[], object]) -> int:
    """Forks, works in the child, and returns its status in the parent."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crowd(chan: gosched.Chan[None]) -> list[gosched.GreenThread[object]]:
    """Green threads of all kinds, none of which ends by itself within the test."""

    def compute() -> None:
        while True:
            gosched.yield_now()

    greens: list[gosched.GreenThread[object]] = [gosched.go(chan.recv) for _ in range(3)]
    greens.append(gosched.go(compute))
    greens.append(gosched.go(gosched.sleep, 600))
    gosched.go(time.sleep, 0.3)
    gosched.sleep(0.01)
    return greens


def test_on_the_main_green_thread() -> None:
    def main() -> None:
        greens = crowd(gosched.Chan())

        def child() -> None:
            for g in greens:
                assert g.done()
                with pytest.raises(gosched.Cancelled):
                    g.result()
            everything_works()

        for _ in range(3):
            assert in_child(child) == 0
        assert not any(g.done() for g in greens)
        everything_works()
        for g in greens:
            g.cancel()

    gosched.run(main)


def test_on_another_green_thread() -> None:
    def main() -> None:
        greens = crowd(gosched.Chan())
        statuses = [gosched.go(in_child, everything_works) for _ in range(4)]
        assert [g.result() for g in statuses] == [0] * 4
        for g in greens:
            g.cancel()

    gosched.run(main)


def test_outside_run() -> None:
    gosched.run(everything_works)
    assert in_child(lambda: gosched.run(everything_works)) == 0


def program(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_both_return_from_run() -> None:
    done = program(
        """
        import os, sys, gosched

        def main():
            chan = gosched.Chan()
            parked = gosched.go(chan.recv)
            gosched.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                gosched.sleep(0.001)
                return "child"
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            chan.close()
            return status

        result = gosched.run(main)
        print(result, flush=True)
        sys.exit(5 if result == "child" else 0)
        """
    )
    assert (done.returncode, done.stdout) == (0, "child\n5\n")
    assert done.stderr.count("gosched.Closed") == 1  # the parent's, which nobody asked for


def test_exit_in_the_child() -> None:
    done = program(
        """
        import os, sys, gosched

        def main():
            gosched.go(gosched.sleep, 600)
            gosched.sleep(0.001)
            pid = os.fork()
            if pid == 0:
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        gosched.run(main)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
