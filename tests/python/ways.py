"""Ways in which C calls back into Python, for the tests of that.

Each is a function sort(numbers, inside) that sorts in C and calls inside() at every comparison.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
import threading
import time

import gosched

DECLARATIONS = """
void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *));
int usleep(unsigned usec);
int abs(int);
int close(int);
typedef unsigned long pthread_t;
int pthread_create(pthread_t *t, void *attr, void *(*fn)(void *), void *arg);
int pthread_join(pthread_t t, void **out);
"""
COMPARE = "int(const void *, const void *)"

libc = gosched.dlopen(None, DECLARATIONS)
ffi = gosched.ffi(libc)


class OneThread:
    """Calls inside(), and nobody may notice that the thread is another one then.  If it is, there
    is nothing to go back to: sqlite would leave its mutex locked, CPython the GIL."""

    def __init__(self, inside):
        self.inside = inside
        self.thread = 0  # that of the first call

    def check(self):
        thread = threading.get_native_id()
        self.thread = self.thread or thread
        if thread != self.thread:
            print("a green thread with C code below it has changed threads", file=sys.stderr)
            os._exit(1)

    def __call__(self):
        self.check()
        self.inside()
        self.check()


class CffiSort:
    """sort(numbers, inside): qsort, with inside() called in every comparison."""

    def __init__(self, qsort):
        self.qsort = qsort

    def __call__(self, numbers, inside):
        here = OneThread(inside)

        @ffi.callback(COMPARE)
        def compare(a, b):
            here()
            x, y = ffi.cast("int *", a)[0], ffi.cast("int *", b)[0]
            return (x > y) - (x < y)

        array = ffi.new("int[]", numbers)
        self.qsort(array, len(numbers), 4, compare)
        return list(array)


class CtypesSort:
    COMPARE = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )

    def __init__(self, library):
        self.qsort = library.qsort
        self.qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, self.COMPARE]
        self.qsort.restype = None

    def __call__(self, numbers, inside):
        here = OneThread(inside)

        @self.COMPARE
        def compare(a, b):
            here()
            return (a[0] > b[0]) - (a[0] < b[0])

        array = (ctypes.c_int * len(numbers))(*numbers)
        self.qsort(array, len(numbers), 4, compare)
        return list(array)


def sqlite_sort(numbers, inside):
    here = OneThread(inside)

    def same(x):
        here()
        return x

    def collate(a, b):
        here()
        return int(a) - int(b)

    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.create_function("same", 1, same)
    db.create_collation("by_number", collate)
    db.execute("create table t (x text)")
    db.executemany("insert into t values (?)", [(str(n),) for n in numbers])
    rows = db.execute("select same(x) from t order by x collate by_number").fetchall()
    db.close()
    return [int(x) for (x,) in rows]


WAYS = {
    "dlopen": CffiSort(libc.qsort),
    "cffi": CffiSort(ffi.dlopen(None).qsort),
    "ctypes": CtypesSort(ctypes.CDLL(None)),
    "ctypes with the GIL": CtypesSort(ctypes.PyDLL(None)),
    "sqlite3": sqlite_sort,
}


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        gosched.sleep(0.001)


def shuffled(n):
    return [i * 37 % 101 for i in range(n)]


class Ticker:
    def __init__(self, rest=lambda: gosched.sleep(0.001)):
        self.ticks = 0
        self.stop = False
        self.rest = rest
        self.green = gosched.go(self.run)

    def run(self):
        while not self.stop:
            self.rest()
            self.ticks += 1
            gosched.yield_now()  # not all that it rests in can be cancelled

    def wait(self, n):
        """Waits until it has ticked n times more."""
        end = self.ticks + n
        while self.ticks < end:
            gosched.sleep(0.001)

    def end(self):
        self.stop = True
        self.green.join()
