"""The scenarios of cffi's own tests about callbacks and errno, through gosched.dlopen.

c/test_c.py and testing/cffi0/test_ffi_backend.py of cffi call C functions that were made for them;
cffi_scenarios.c has the same.  Each is run outside of gosched.run, on the main green thread, and on
one that changes threads; callbacks are those of cffi and of gosched.callback.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref

import gosched
import pytest

TYPES = {
    "char": ("char", [b"\x00", b"A", b"\xff"]),
    "schar": ("signed char", [-128, 0, 127]),
    "uchar": ("unsigned char", [0, 255]),
    "short": ("short", [-32768, 32767]),
    "ushort": ("unsigned short", [0, 65535]),
    "int": ("int", [-(2**31), 2**31 - 1]),
    "uint": ("unsigned", [0, 2**32 - 1]),
    "long": ("long", [-(2**63), 2**63 - 1]),
    "ulong": ("unsigned long", [0, 2**64 - 1]),
    "llong": ("long long", [-(2**63), 2**63 - 1]),
    "ullong": ("unsigned long long", [0, 2**64 - 1]),
    "bool": ("_Bool", [False, True]),
    "float": ("float", [0.0, 1.5, -0.25]),
    "double": ("double", [0.0, 0.1, -1e300]),
    "wchar": ("wchar_t", ["x", "\u1234", "\U00012345"]),
}
STRUCTS = {
    "mixed": ("Mixed", {"x": -7, "y": 2**40}),
    "tiny": ("Tiny", {"x": 100, "y": -100}),
    "big": ("Big", {name: ord(name) for name in "abcdefghij"}),
    "doubles": ("Doubles", {"x": 0.5, "y": -2.5}),
}
CDEF = (
    """
    typedef struct { int8_t x; long y; } Mixed;
    typedef struct { signed char x, y; } Tiny;
    typedef struct { int a, b, c, d, e, f, g, h, i, j; } Big;
    typedef struct { double x, y; } Doubles;
    typedef enum { FIRST, SECOND, THIRD } Which;
    Which give_which(Which (*f)(Which), Which x);
    long double give_ldouble(long double (*f)(long double), long double x);
    void *give_pointer(void *(*f)(void *), void *x);
    int sum_of(int (*f)(int, double, Tiny, const char *), int n);
    void nothing(void (*f)(void));
    typedef int (*Number)(int);
    int indirect(Number (*f)(Number), int x);
    int nested(int (*f)(int), int depth);
    int set_errno(int value);
    int errno_around(void (*f)(void), int before);
    int errno_after_sleep(int value);
    int usleep(unsigned);
    """
    + "".join(f"{c} give_{name}({c} (*f)({c}), {c} x);\n" for name, (c, _) in TYPES.items())
    + "".join(f"{c} give_{name}({c} (*f)({c}), {c} x);\n" for name, (c, _) in STRUCTS.items())
)

lib = gosched.dlopen(os.environ["GOSCHED_TEST_CFFI"], CDEF, blocking=["errno_after_sleep"])
ffi = gosched.ffi(lib)
hop = gosched.dlopen(None, "int usleep(unsigned);", blocking=["usleep"]).usleep


def green(fn):
    """On a green thread beside four that keep changing threads."""

    def main():
        stop = []

        def other():
            while not stop:
                hop(10)

        others = [gosched.go(other) for _ in range(4)]
        try:
            return gosched.go(fn).result()
        finally:
            stop.append(1)
            for g in others:
                g.join()

    return gosched.run(main)


PLACES = {"outside": lambda fn: fn(), "main": gosched.run, "green": green}


@pytest.fixture(params=PLACES)
def place(request):
    return PLACES[request.param]


def by_gosched(ctype, fn, **kw):
    return gosched.callback(ctype, fn, lib=lib, **kw)


def by_cffi(ctype, fn, **kw):
    return ffi.callback(ctype, fn, **kw)


@pytest.fixture(params=[by_gosched, by_cffi])
def callback(request):
    return request.param


@pytest.mark.parametrize("name", TYPES)
def test_each_type_there_and_back(place, callback, name):
    """test_callback_returning_char, _wchar_t and the like, test_callback_return_type."""
    ctype, values = TYPES[name]

    def same(x):
        seen.append(x)
        hop(1)
        return x

    def main():
        f = callback(f"{ctype}(*)({ctype})", same)
        for value in values:
            assert getattr(lib, f"give_{name}")(f, value) == value

    seen = []
    place(main)
    assert seen == values


@pytest.mark.parametrize("name", STRUCTS)
def test_structs_by_value(place, callback, name):
    """test_callback_receiving_tiny_struct, _struct, returning_struct, returning_big_struct."""
    ctype, members = STRUCTS[name]

    def main():
        def twice(s):
            assert {m: getattr(s, m) for m in members} == members
            return ffi.new(f"{ctype} *", members)[0]

        f = callback(f"{ctype}(*)({ctype})", twice)
        got = getattr(lib, f"give_{name}")(f, ffi.new(f"{ctype} *", members)[0])
        assert {m: getattr(got, m) for m in members} == members

    place(main)


def test_enums_long_doubles_pointers(place, callback):
    def main():
        f = callback("Which(*)(Which)", lambda x: lib.THIRD if x == lib.SECOND else lib.FIRST)
        assert lib.give_which(f, lib.SECOND) == lib.THIRD
        g = callback("long double(*)(long double)", lambda x: x)
        third = ffi.cast("long double", 1.25)
        assert float(lib.give_ldouble(g, third)) == 1.25
        h = callback("void *(*)(void *)", lambda p: p + 3)
        p = ffi.new("char[]", 8)
        assert lib.give_pointer(h, p) == ffi.cast("char *", p) + 3
        n = callback("void *(*)(void *)", lambda p: ffi.NULL)
        assert lib.give_pointer(n, p) == ffi.NULL

    place(main)


def test_several_arguments(place, callback):
    def main():
        def f(i, d, tiny, text):
            assert (d, tiny.x, tiny.y, ffi.string(text)) == (i / 2, i, -1, b"text")
            return i * i

        g = callback("int(*)(int, double, Tiny, const char *)", f)
        assert lib.sum_of(g, 10) == sum(i * i for i in range(10))

    place(main)


def test_void(place, callback):
    """test_callback_returning_void: whatever it returns is dropped, or an error to stderr."""

    def main():
        called = []
        f = callback("void(*)(void)", lambda: called.append(1))
        assert lib.nothing(f) is None
        assert called == [1]

    place(main)


def test_function_pointers_as_arguments_and_results(place, callback):
    """test_callback_as_function_argument, test_callback_indirection."""

    def main():
        kept = []

        def twice(f):
            g = callback("int(*)(int)", lambda x: f(f(x)))
            kept.append(g)
            return g  # cffi's or gosched's

        f = callback("Number(*)(Number)", twice)
        assert lib.indirect(f, 40) == 42

    place(main)


def test_recursion(place, callback):
    def main():
        f = callback("int(*)(int)", lambda depth: lib.nested(f, depth))
        assert lib.nested(f, 20) == 20

    place(main)


def test_what_does_not_fit(place):
    """test_callback_return_type: too large a result is an error, and `error` is the result.

    gosched raises what cffi prints, unless onerror takes it."""

    def main():
        taken = []

        def onerror(kind, error, traceback):
            taken.append(kind)

        f = gosched.callback("signed char(*)(signed char)", lambda x: 128, error=-3)
        with pytest.raises(OverflowError):
            lib.give_schar(f, 1)
        g = gosched.callback(
            "signed char(*)(signed char)", lambda x: 128, error=-3, onerror=onerror
        )
        assert lib.give_schar(g, 1) == -3
        h = gosched.callback("int(*)(int)", lambda x: "no", onerror=onerror)
        assert lib.give_int(h, 1) == 0
        with pytest.raises(TypeError):
            lib.give_int(gosched.callback("int(*)(int)", lambda x: None), 1)
        assert taken == [OverflowError, TypeError]

    place(main)


def test_an_exception_of_cffis_callback(place, monkeypatch):
    """test_callback_exception: it is printed, and `error` is the result."""
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: printed.append(str(what.exc_value)))

    def main():
        def fails(x):
            raise ZeroDivisionError("from inside")

        f = ffi.callback("int(*)(int)", fails, error=42)
        assert lib.give_int(f, 1) == 42

    place(main)
    assert printed == ["from inside"]


def test_onerror_of_cffis_callback(place):
    """test_callback_onerror."""

    def main():
        seen = []

        def onerror(kind, error, traceback):
            seen.append((kind, traceback.tb_frame.f_code.co_name))
            hop(1)
            return 36

        def fails(x):
            hop(1)
            raise LookupError

        f = ffi.callback("int(*)(int)", fails, error=42, onerror=onerror)
        assert lib.give_int(f, 1) == 36
        assert seen == [(LookupError, "fails")]

    place(main)


def test_a_lot_of_callbacks(place, callback):
    """test_a_lot_of_callbacks: of its own each, all alive."""

    def main():
        fs = [callback("int(*)(int)", lambda x, i=i: x + i) for i in range(300)]
        assert [lib.give_int(f, 1000) for f in fs] == [1000 + i for i in range(300)]

    place(main)


def test_lifetime(place):
    """test_callback_decorator, and that what a callback refers to goes with it."""

    class Thing:
        pass

    def main():
        thing = Thing()
        ref = weakref.ref(thing)

        @gosched.callback("int(int)")
        def f(x, thing=thing):
            return x + 1

        assert lib.give_int(f, 1) == 2
        f.free()
        del f, thing
        gc.collect()
        assert ref() is None

    place(main)


# ---- errno


def test_errno(place):
    """test_errno: what C has left, until the next call of this green thread."""

    def main():
        for value in (65, 80, 95, 0):
            lib.set_errno(value)
            assert gosched.errno() == ffi.errno == value
            if gosched.current():
                gosched.yield_now()
                gosched.sleep(0.0005)
            assert gosched.errno() == value

    place(main)


def test_errno_belongs_to_the_green_thread():
    """test_errno of each thread: here of each green thread, wherever it goes on."""

    def one(i):
        threads = set()
        for k in range(20):
            lib.errno_after_sleep(1000 * i + k)
            threads.add(threading.get_native_id())
            gosched.yield_now()
            assert gosched.errno() == 1000 * i + k
        return len(threads)

    def main():
        return sum(gosched.map(one, range(8)))

    assert gosched.run(main) > 8


def test_errno_of_plain_threads():
    seen = []

    def body(i):
        for k in range(20):
            lib.set_errno(100 * i + k)
            seen.append(gosched.errno() == 100 * i + k)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert seen == [True] * 80


def test_errno_in_a_callback(place, callback):
    """test_errno_callback: a callback sees the errno of C around it, and leaves one."""

    def main():
        def f():
            before = ffi.errno
            if gosched.current():
                gosched.sleep(0.0005)
                assert ffi.errno == before
            ffi.errno = before - 6

        left = lib.errno_around(callback("void(*)(void)", f), 77)
        assert gosched.errno() == left
        return left

    assert place(main) == 71


def test_errno_after_a_call_in_a_callback(place, callback):
    """As with cffi: it is what the last foreign call of the callback has left."""

    def main():
        def f():
            lib.set_errno(5)
            assert gosched.errno() == 5

        return lib.errno_around(callback("void(*)(void)", f), 77)

    assert place(main) == 5
