"""Whatever blocks and releases the GIL hands over: no patching."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sqlite3
import threading
import time
import zlib

import gosched
import pytest
from conftest import os_threads, until


class Ticker:
    """Counts how often it could run."""

    def __init__(self, seconds=0.005):
        self.seconds = seconds
        self.ticks = 0
        self.stop = False
        self.g = gosched.go(self.run)

    def run(self):
        while not self.stop:
            gosched.sleep(self.seconds)
            self.ticks += 1

    def end(self):
        self.stop = True
        self.g.join()
        return self.ticks


def all_of(fn, n):
    gs = [gosched.go(fn, i) for i in range(n)]
    return [g.result() for g in gs]


def test_time_sleep():
    def main():
        ticker = Ticker()
        t = time.monotonic()
        all_of(lambda i: time.sleep(0.2), 20)
        took = time.monotonic() - t
        assert 0.2 <= took < 3
        assert ticker.end() >= 5

    gosched.run(main)


def test_time_sleep_in_main():
    def main():
        ticker = Ticker()
        time.sleep(0.3)
        return ticker.end()

    assert gosched.run(main) >= 5


def test_sqlite3(tmp_path):
    path = tmp_path / "busy.db"
    with sqlite3.connect(path) as db:
        db.execute("create table t (x)")
    db.close()

    def waits(i):
        db = sqlite3.connect(path, timeout=60, isolation_level=None)
        db.execute("begin immediate")  # blocks while another one has the lock
        db.execute("insert into t values (?)", (i,))
        time.sleep(0.002)
        db.execute("commit")
        db.close()

    def main():
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("begin immediate")
        ticker = Ticker()
        gs = [gosched.go(waits, i) for i in range(10)]
        until(lambda: ticker.ticks >= 5)  # it does not stand still while others wait for the lock
        assert not any(g.done() for g in gs)
        holder.execute("commit")
        holder.close()
        for g in gs:
            g.result(60)
        ticker.end()
        db = sqlite3.connect(path)
        rows = sorted(x for (x,) in db.execute("select x from t"))
        db.close()
        return rows

    assert gosched.run(main) == list(range(10))


def test_sqlite3_functions_call_back():
    """A Python function called by sqlite parks: its green thread has to come back on its thread."""

    def main():
        def one(i):
            db = sqlite3.connect(":memory:", check_same_thread=False)

            def slow(x):
                gosched.sleep(0.001)
                return x * 2

            db.create_function("slow", 1, slow)
            got = [db.execute("select slow(?)", (i + k,)).fetchone()[0] for k in range(10)]
            db.close()
            return got == [2 * (i + k) for k in range(10)]

        return all_of(one, 10)

    assert all(gosched.run(main))


def test_zlib_and_hashlib():
    data = random.Random(1).randbytes(1 << 20)

    def work(i):
        return zlib.crc32(zlib.decompress(zlib.compress(data, 1))), hashlib.sha256(data).digest()

    expected = work(0)

    def main():
        ticker = Ticker()
        got = all_of(work, 20)
        assert all(g == expected for g in got)
        return ticker.end()

    assert gosched.run(main) >= 1


def test_pipes_and_sockets():
    def main():
        ticker = Ticker()
        r, w = os.pipe()
        reader = gosched.go(os.read, r, 10)
        a, b = socket.socketpair()
        receiver = gosched.go(a.recv, 10)
        gosched.sleep(0.05)
        assert not reader.done()
        assert not receiver.done()
        os.write(w, b"pipe")
        b.send(b"socket")
        assert reader.result(30) == b"pipe"
        assert receiver.result(30) == b"socket"
        for fd in (r, w):
            os.close(fd)
        a.close()
        b.close()
        return ticker.end()

    assert gosched.run(main) >= 2


def test_locks_and_events_of_threading():
    def main():
        lock = threading.Lock()
        event = threading.Event()
        order = []

        def takes(i):
            with lock:
                order.append(i)

        lock.acquire()
        gs = [gosched.go(takes, i) for i in range(5)]
        ws = [gosched.go(event.wait, 60) for _ in range(5)]
        gosched.sleep(0.05)
        assert order == []
        lock.release()
        event.set()
        for g in gs:
            g.join(30)
        assert all(w.result(30) for w in ws)
        return sorted(order)

    assert gosched.run(main) == list(range(5))


def test_threads_are_bounded_and_used_again():
    def main():
        for _ in range(3):
            all_of(lambda i: time.sleep(0.05), 30)
        many = os_threads()
        for _ in range(5):
            all_of(lambda i: time.sleep(0.02), 30)
        return many, os_threads()

    many, later = gosched.run(main)
    # Those of one wave may all be waiting for the GIL when the next one comes.
    assert later <= many + 30, "threads are not used again"
    assert many <= 30 + 40


def test_computing_green_threads_need_no_threads_of_their_own():
    def main():
        before = os_threads()
        all_of(lambda i: sum(k * k for k in range(20_000)), 100)
        return os_threads() - before

    assert gosched.run(main) <= 20


@pytest.mark.parametrize("n", [200])
def test_hundreds_of_blocking_calls(n, libc):
    def main():
        t = time.monotonic()
        all_of(lambda i: libc.usleep(100_000), n)
        return time.monotonic() - t

    assert 0.1 <= gosched.run(main) < 10


def test_foreign_calls_beside_a_ticker(libc):
    def main():
        ticker = Ticker()
        all_of(lambda i: libc.usleep(300_000), 20)
        return ticker.end()

    assert gosched.run(main) >= 5
    stats = gosched.stats()
    assert stats["handoffs"] > 0
    assert stats["cgocalls"] >= 20
