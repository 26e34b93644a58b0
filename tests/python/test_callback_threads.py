"""While C has called back, a green thread stays on its thread; before and after, it need not."""

from __future__ import annotations

import threading
import time

import gosched
import pytest
from ways import WAYS, Ticker, libc, sqlite_sort


@pytest.fixture(params=WAYS)
def sort(request):
    return WAYS[request.param]


def test_threads_outlive_their_callbacks(sort):
    """A green thread that was kept on a thread does not take that thread along when it ends."""

    def main():
        def one():
            gosched.go(sort, [2, 1], lambda: gosched.sleep(0.0001)).join()

        for _ in range(10):
            one()
        before = gosched.stats()["threads_created"]
        for _ in range(50):
            one()
        return gosched.stats()["threads_created"] - before

    assert gosched.run(main) <= 25


def full():
    ch = gosched.Chan(1)
    ch.send(object())
    return ch


def ended():
    g = gosched.go(int)
    g.join()
    return g


class Touch:
    """Enters the scheduler without waiting: `ch` is a channel, `other` a green thread that sleeps,
    and `old` a list of things that die when they are taken out."""

    def __init__(self, what):
        self.what = what
        make = {"free": gosched.Chan, "free full": full, "release": ended}.get(what)
        self.old = [make() for _ in range(5000)] if make else []
        self.ch = gosched.Chan(1 << 20)
        self.other = gosched.go(gosched.sleep, 100)
        self.green = gosched.go(int)

    def __call__(self):
        sum(range(500))  # old things should last for a slice
        if self.old:
            self.old.pop()
        elif self.what == "go":
            if self.green.done():
                self.green = gosched.go(int)
        elif self.what == "Chan":
            gosched.Chan()
        elif self.what == "try_send":
            self.ch.try_send(1)
        elif self.what == "try_recv":
            with pytest.raises(gosched.WouldBlock):
                self.ch.try_recv()
        elif self.what == "close":
            self.ch.close()
        elif self.what == "cancel":
            self.other.cancel()
        elif self.what == "yield":
            gosched.yield_now()


@pytest.mark.parametrize(
    "what",
    ["free", "free full", "release", "go", "Chan", "try_send", "try_recv", "close", "cancel"]
    + ["yield"],
)
def test_nothing_changes_threads_in_a_callback(sort, what):
    """Neither a slice that ends nor a turn that is gone, whatever comes first in the callback."""

    def main():
        touch = Touch(what)
        # Whoever gives way to one that blocks finds the turn on another thread.
        ticker = Ticker(lambda: libc.usleep(500))

        def inside():
            before = ticker.ticks
            end = time.monotonic() + 30
            while ticker.ticks < before + 4 and time.monotonic() < end:
                touch()

        for g in [gosched.go(sort, [2, 1], inside) for _ in range(3)]:
            assert g.result() == [1, 2]
        ticker.end()

    gosched.run(main)


def test_it_moves_again_afterwards():
    """What kept it on its thread ends with the callback."""

    def main():
        threads = set()

        def body(i):
            sqlite_sort([2, 1], lambda: gosched.sleep(0.0001))
            WAYS["dlopen"]([2, 1], lambda: gosched.sleep(0.0001))
            for _ in range(200):
                threads.add((i, threading.get_native_id()))
                libc.usleep(20)
                gosched.yield_now()

        while len({i for i, _ in threads}) == len(threads):
            for g in [gosched.go(body, i) for i in range(20)]:
                g.result()

    gosched.run(main)
