"""Code that knows nothing of green threads and blocks: while it does, the others go on.

What each blocks in ends only by what another green thread does after the first has begun to wait,
so a test ends only if the others do go on.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import queue
import select
import socket
import subprocess
import sys
import threading

import cffi
import gosched
import pytest
from conftest import until


def while_blocked(blocks, release):
    """Runs blocks() on a green thread, and then release() on main; gives what blocks returned."""

    def main():
        begun = gosched.Event()

        def body():
            begun.set()
            return blocks()

        g = gosched.go(body)
        begun.wait()
        for _ in range(5):  # others have their turns while it blocks
            gosched.sleep(0.002)
            assert not g.done()
        release()
        return g.result(60)

    return gosched.run(main)


# ---- queue and threading ----


def test_queue_get():
    q: queue.Queue[int] = queue.Queue()
    assert while_blocked(q.get, lambda: q.put(5)) == 5


def test_queue_put():
    q: queue.Queue[int] = queue.Queue(1)
    q.put(1)
    while_blocked(lambda: q.put(2), q.get)
    assert q.get() == 2


def test_simple_queue():
    q: queue.SimpleQueue[int] = queue.SimpleQueue()
    assert while_blocked(q.get, lambda: q.put(5)) == 5


def test_queue_join():
    q: queue.Queue[int] = queue.Queue()
    q.put(1)

    def work():
        q.get()
        q.task_done()

    while_blocked(q.join, work)


def test_lock():
    lock = threading.Lock()
    lock.acquire()
    assert while_blocked(lock.acquire, lock.release)


def test_condition():
    c = threading.Condition()
    ready = []

    def waits():
        with c:
            return c.wait_for(lambda: ready, 60)

    def release():
        with c:
            ready.append(1)
            c.notify()

    assert while_blocked(waits, release) == [1]


def test_event_and_semaphore():
    e, s = threading.Event(), threading.Semaphore(0)
    assert while_blocked(e.wait, e.set)
    assert while_blocked(s.acquire, s.release)


def test_barrier():
    b = threading.Barrier(2)
    assert {while_blocked(b.wait, b.wait)} < {0, 1}


def test_joining_a_thread():
    e = threading.Event()
    t = threading.Thread(target=e.wait)
    t.start()
    while_blocked(t.join, e.set)


# ---- descriptors and files ----


def test_pipe():
    r, w = os.pipe()
    assert while_blocked(lambda: os.read(r, 10), lambda: os.write(w, b"x")) == b"x"
    os.close(r)
    os.close(w)


def test_full_pipe():
    r, w = os.pipe()
    big = bytes(1 << 20)

    def write():
        with open(w, "wb") as f:
            return f.write(big)

    def read():
        with open(r, "rb") as f:
            assert len(f.read(len(big))) == len(big)

    assert while_blocked(write, read) == len(big)


def test_opening_a_fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def read():
        with path.open() as f:
            return f.read()

    assert while_blocked(read, lambda: path.write_text("hello")) == "hello"


def test_lines_of_a_fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)

    def read():
        with path.open() as f:
            return f.readline()

    assert while_blocked(read, lambda: os.write(fd, b"one\ntwo\n")) == "one\n"
    os.close(fd)


def test_file_lock(tmp_path):
    import fcntl

    with (tmp_path / "lock").open("w") as a, (tmp_path / "lock").open("w") as b:
        fcntl.flock(a, fcntl.LOCK_EX)
        while_blocked(lambda: fcntl.flock(b, fcntl.LOCK_EX), lambda: fcntl.flock(a, fcntl.LOCK_UN))


def test_files(tmp_path):
    """Reading and writing lets the GIL go; there is nothing to wait for but the disk."""

    def one(i):
        path = tmp_path / str(i)
        path.write_bytes(bytes([i]) * 100_000)
        with path.open("r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            m[0] = 255 - i
            m.flush()
        os.sync()
        return path.read_bytes()[:2]

    def main():
        gs = [gosched.go(one, i) for i in range(8)]
        return [g.result(60) for g in gs]

    assert gosched.run(main) == [bytes([255 - i, i]) for i in range(8)]


def test_socket_recv_and_accept():
    a, b = socket.socketpair()
    assert while_blocked(lambda: a.recv(10), lambda: b.send(b"x")) == b"x"
    a.close()
    b.close()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def connect():
            socket.create_connection(server.getsockname()).close()

        connection, _ = while_blocked(server.accept, connect)
        connection.close()


def test_select():
    r, w = os.pipe()
    ready = while_blocked(lambda: select.select([r], [], [])[0], lambda: os.write(w, b"x"))
    assert ready == [r]
    poll = select.poll()
    poll.register(r, select.POLLIN)
    os.read(r, 1)
    assert while_blocked(poll.poll, lambda: os.write(w, b"x")) == [(r, select.POLLIN)]
    os.close(r)
    os.close(w)


# ---- processes ----


def test_subprocess():
    child = subprocess.Popen(
        [sys.executable, "-c", "print(input())"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def release():
        assert child.stdin
        child.stdin.write("hello\n")
        child.stdin.flush()

    assert while_blocked(child.stdout.readline, release) == "hello\n"
    assert child.wait() == 0
    child.communicate()


def test_waiting_for_a_child():
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    assert while_blocked(child.wait, child.communicate) == 0


def test_communicate_and_run():
    def main():
        code = "import sys; sys.stdout.write(sys.stdin.read().upper())"
        gs = [
            gosched.go(
                subprocess.run,
                [sys.executable, "-c", code],
                input=f"number {i}",
                capture_output=True,
                text=True,
                check=True,
            )
            for i in range(6)
        ]
        return [g.result(60).stdout for g in gs]

    assert gosched.run(main) == [f"NUMBER {i}" for i in range(6)]


# ---- C, by other ways than gosched.dlopen ----


def test_ctypes():
    libc = ctypes.CDLL(None, use_errno=True)
    r, w = os.pipe()
    buffer = ctypes.create_string_buffer(10)
    assert while_blocked(lambda: libc.read(r, buffer, 10), lambda: os.write(w, b"xy")) == 2
    assert buffer.value == b"xy"
    os.close(r)
    os.close(w)


def test_cffi():
    ffi = cffi.FFI()
    ffi.cdef("ssize_t read(int fd, void *buf, size_t n);")
    libc = ffi.dlopen(None)
    r, w = os.pipe()
    buffer = ffi.new("char[10]")
    assert while_blocked(lambda: libc.read(r, buffer, 10), lambda: os.write(w, b"xy")) == 2
    assert ffi.string(buffer) == b"xy"
    os.close(r)
    os.close(w)


def test_ctypes_callback():
    """C on the green thread's own stack calls Python, which waits."""
    libc = ctypes.CDLL(None)
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    q: queue.Queue[int] = queue.Queue()
    asked = []

    def compare(a, b):
        if not asked:
            asked.append(q.get())
        return a[0] - b[0]

    numbers = (ctypes.c_int * 5)(4, 1, 3, 5, 2)
    while_blocked(lambda: libc.qsort(numbers, 5, 4, kind(compare)), lambda: q.put(7))
    assert list(numbers) == [1, 2, 3, 4, 5]
    assert asked == [7]


# ---- hundreds at once ----


@pytest.mark.parametrize("n", [300])
def test_hundreds_block_in_a_queue(n):
    q: queue.Queue[int] = queue.Queue()

    def main():
        gs = [gosched.go(q.get) for _ in range(n)]
        until(lambda: gosched.stats()["threads"] > n)  # each has one of its own
        for i in range(n):
            q.put(i)
        return sorted(g.result(60) for g in gs)

    assert gosched.run(main) == list(range(n))
