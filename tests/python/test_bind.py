"""bind: hints, and calls that a cancel reaches into."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import gosched
import pytest
from conftest import until

LIBC = """
ssize_t read(int fd, void *to, size_t n);
ssize_t write(int fd, const void *from, size_t n);
int usleep(unsigned usec);
int abs(int);
int snprintf(char *to, size_t n, const char *format, ...);
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
"""

SQLITE = """
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
int sqlite3_open(const char *name, sqlite3 **db);
int sqlite3_close(sqlite3 *db);
int sqlite3_prepare_v2(sqlite3 *, const char *sql, int n, sqlite3_stmt **, const char **tail);
int sqlite3_step(sqlite3_stmt *);
int sqlite3_finalize(sqlite3_stmt *);
void sqlite3_interrupt(sqlite3 *);
#define SQLITE_INTERRUPT 9
"""


@pytest.fixture(scope="module")
def libc():
    return gosched.dlopen(None, LIBC)


class Pipe:
    """A read that blocks until it is unblocked by a byte."""

    def __init__(self, libc):
        self.r, self.w = os.pipe()
        self.unblocked = []
        self.buffer = gosched.ffi(libc).new("char[]", 8)
        self.bound = gosched.bind(libc.read, unblock=self.unblock)

    def unblock(self, fd, to, n):
        assert (fd, to, n) == (self.r, self.buffer, 8)
        self.unblocked.append(threading.get_ident())
        os.write(self.w, b"x")

    def read(self):
        return self.bound(self.r, self.buffer, 8)

    def close(self):
        os.close(self.r)
        os.close(self.w)


@pytest.fixture
def pipe(libc):
    p = Pipe(libc)
    yield p
    p.close()


def test_cancel(pipe):
    def main():
        green = gosched.go(pipe.read)
        until(lambda: green.state == "syscall")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched.run(main)
    assert len(pipe.unblocked) == 1


def test_nobody_cancels(pipe):
    def main():
        os.write(pipe.w, b"abc")
        assert pipe.read() == 3

    gosched.run(main)
    os.write(pipe.w, b"d")
    assert pipe.read() == 1  # an ordinary call, where no green thread runs
    assert pipe.unblocked == []


def test_timeout(pipe):
    def main():
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(TimeoutError), gosched.timeout(0.02):
                pipe.read()
            assert time.monotonic() - began >= 0.02
        return gosched.go(inside).result()

    def inside():
        with pytest.raises(TimeoutError), gosched.timeout(0.02):
            pipe.read()
        os.write(pipe.w, b"y")
        return pipe.read()

    assert gosched.run(main) == 1
    assert len(pipe.unblocked) == 4


def test_the_end_of_run(pipe):
    def main():
        green = gosched.go(pipe.read)
        until(lambda: green.state == "syscall")
        return green

    with pytest.raises(gosched.Cancelled):
        gosched.run(main).result()
    assert len(pipe.unblocked) == 1


def test_cancelled_before(pipe):
    def body():
        gosched.current().cancel()
        pipe.read()

    def main():
        with pytest.raises(gosched.Cancelled):
            gosched.go(body).result()

    gosched.run(main)
    assert pipe.unblocked == []


def test_shield(pipe):
    def body():
        with gosched.shield():
            got = pipe.read()
        assert got == 2
        gosched.sleep(30)

    def main():
        green = gosched.go(body)
        until(lambda: green.state == "syscall")
        green.cancel()
        gosched.sleep(0.01)
        os.write(pipe.w, b"ab")
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched.run(main)
    assert pipe.unblocked == []


def test_the_call_waits_for_unblock(pipe):
    """What unblock was given stays until it returns, also when C has returned long before."""
    order = []

    def unblock(fd, *_):
        os.write(pipe.w, b"x")
        gosched.sleep(0.03)
        order.append("unblocked")

    read = None

    def body():
        try:
            read(pipe.r, pipe.buffer, 8)
        finally:
            order.append("returned")

    def main():
        nonlocal read
        read = gosched.bind(gosched_read, unblock=unblock)
        green = gosched.go(body)
        until(lambda: green.state == "syscall")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched_read = gosched.dlopen(None, LIBC).read
    gosched.run(main)
    assert order == ["unblocked", "returned"]


def test_the_main_green_thread_waits_for_unblock(pipe, libc):
    """What it waits in is interrupted now and then, to look for signals; the wait goes on."""
    order = []

    def unblock(*_):
        os.write(pipe.w, b"x")
        gosched.sleep(0.2)
        order.append("unblocked")

    read = gosched.bind(libc.read, unblock=unblock)

    def main():
        with pytest.raises(TimeoutError), gosched.timeout(0.02):
            try:
                read(pipe.r, pipe.buffer, 8)
            finally:
                order.append("returned")

    gosched.run(main)
    assert order == ["unblocked", "returned"]


def test_an_error_in_unblock_is_reported(pipe, libc, monkeypatch):
    import sys

    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def unblock(*_):
        os.write(pipe.w, b"x")
        raise KeyError("unblock")

    read = gosched.bind(libc.read, unblock=unblock)

    def main():
        green = gosched.go(read, pipe.r, pipe.buffer, 8)
        until(lambda: green.state == "syscall")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched.run(main)
    assert [r.exc_type for r in reports] == [KeyError]


def test_many_at_once(libc):
    pipes = [Pipe(libc) for _ in range(50)]

    def main():
        greens = [gosched.go(p.read) for p in pipes]
        gosched.sleep(0.02)
        for i, (g, p) in enumerate(zip(greens, pipes, strict=False)):
            if i % 2:
                g.cancel()
            else:
                os.write(p.w, b"z")
        for i, g in enumerate(greens):
            if i % 2:
                with pytest.raises(gosched.Cancelled):
                    g.result()
            else:
                assert g.result() == 1

    gosched.run(main)
    for p in pipes:
        p.close()


def test_races_of_end_and_cancel(libc):
    """The function returns by itself at about the time of the cancel."""
    calls = []
    nap = gosched.bind(libc.usleep, unblock=calls.append)

    def body(i):
        try:
            return nap(i % 7 * 30)
        except gosched.Cancelled:
            return "cancelled"

    def main():
        for i in range(300):
            green = gosched.go(body, i)
            gosched.sleep(i % 5 * 0.00004)
            green.cancel()
            with contextlib.suppress(gosched.Cancelled):  # it had not begun
                assert green.result() in (0, "cancelled")

    gosched.run(main)


def test_sqlite_interrupt():
    lib = gosched.dlopen("libsqlite3.so.0", SQLITE)
    ffi = gosched.ffi(lib)

    def main():
        opened, prepared = ffi.new("sqlite3 **"), ffi.new("sqlite3_stmt **")
        assert lib.sqlite3_open(b":memory:", opened) == 0
        sql = (
            b"with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) from c"
        )
        assert lib.sqlite3_prepare_v2(opened[0], sql, -1, prepared, ffi.NULL) == 0
        step = gosched.bind(lib.sqlite3_step, unblock=lambda _: lib.sqlite3_interrupt(opened[0]))
        with pytest.raises(TimeoutError), gosched.timeout(0.05):
            step(prepared[0])
        assert lib.sqlite3_finalize(prepared[0]) == lib.SQLITE_INTERRUPT
        assert lib.sqlite3_close(opened[0]) == 0

    gosched.run(main)


def test_hints(libc):
    quick, slow = gosched.bind(libc.abs, critical=True), gosched.bind(libc.usleep, blocking=True)
    assert gosched.run(lambda: (quick(-3), slow(10))) == (3, 0)
    assert libc.abs is not quick


def test_arguments(libc):
    with pytest.raises(TypeError, match="no function of gosched.dlopen"):
        gosched.bind(print)
    with pytest.raises(TypeError, match="fixed number of arguments"):
        gosched.bind(libc.snprintf)
    with pytest.raises(TypeError, match="unblock must be callable, not int"):
        gosched.bind(libc.abs, unblock=3)
    for bad in ({"blocking": True}, {"unblock": print}):
        with pytest.raises(ValueError, match="a critical function neither"):
            gosched.bind(libc.abs, critical=True, **bad)
