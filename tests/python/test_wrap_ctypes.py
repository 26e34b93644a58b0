"""gosched.wrap of a ctypes.CDLL: ctypes' conversions and errors, and green calls."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import weakref
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    Union,
    byref,
    c_bool,
    c_byte,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int64,
    c_long,
    c_longdouble,
    c_short,
    c_size_t,
    c_ubyte,
    c_uint8,
    c_uint64,
    c_void_p,
    c_wchar_p,
)
from typing import Any

import gosched
import numpy as np
import pytest
from compiled import build
from conftest import in_thread, until
from gosched._wrap_ctypes import CtypesFunction
from hypothesis import given, settings
from hypothesis import strategies as st

SOURCE = """
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

typedef struct { int8_t a; double b; } mixed;
typedef struct { mixed inner; int n[3]; } nested;
typedef struct { float x, y; } floats;
typedef struct { unsigned low : 3, high : 5; } bits;
typedef union { int i; float f; } either;

int add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
int8_t i8(int8_t n) { return n; }
uint8_t u8(uint8_t n) { return n; }
int16_t i16(int16_t n) { return n; }
int64_t i64(int64_t n) { return n; }
uint64_t u64(uint64_t n) { return n; }
float f32(float n) { return n; }
double f64(double n) { return n; }
long double f80(long double n) { return n; }
_Bool flag(_Bool n) { return n; }
char letter(char c) { return c; }
wchar_t wide(wchar_t c) { return c; }
void *same(void *p) { return p; }
char *text(char *p) { return p; }
mixed turn(mixed m) { m.a = (int8_t)-m.a; m.b = -m.b; return m; }
int total(nested m) { return m.inner.a + (int)m.inner.b + m.n[0] + m.n[1] + m.n[2]; }
floats flip(floats f) { floats g = {f.y, f.x}; return g; }
int of_bits(bits b) { return (int)(b.low + 10 * b.high); }
int of_union(either e) { return e.i; }
double many(int a, double b, int8_t c, float d, int64_t e, double f, int g, int h, int i, int j) {
  return a + b + c + (double)d + (double)e + f + g + h + i + j;
}
int fails(int e) { errno = e; return -1; }
int succeeds(void) { return 0; }
int errno_before(void) { return errno; }
void nothing(void) {}
int apply(int (*fn)(int), int n) { return fn(n); }
int first(int *p) { return p ? *p : -1; }
"""


class Mixed(Structure):
    _fields_ = [("a", c_byte), ("b", c_double)]


class Nested(Structure):
    _fields_ = [("inner", Mixed), ("n", c_int * 3)]


class Floats(Structure):
    _fields_ = [("x", c_float), ("y", c_float)]


class Bits(Structure):
    _fields_ = [("low", c_int, 3), ("high", c_int, 5)]


class Either(Union):
    _fields_ = [("i", c_int), ("f", c_float)]


CALLBACK = CFUNCTYPE(c_int, c_int)
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "add": (c_int, [c_int, c_int]),
    "i8": (c_byte, [c_byte]),
    "u8": (c_ubyte, [c_ubyte]),
    "i16": (c_short, [c_short]),
    "i64": (c_int64, [c_int64]),
    "u64": (c_uint64, [c_uint64]),
    "f32": (c_float, [c_float]),
    "f64": (c_double, [c_double]),
    "f80": (c_longdouble, [c_longdouble]),
    "flag": (c_bool, [c_bool]),
    "letter": (c_char, [c_char]),
    "wide": (ctypes.c_wchar, [ctypes.c_wchar]),
    "same": (c_void_p, [c_void_p]),
    "text": (c_char_p, [c_char_p]),
    "turn": (Mixed, [Mixed]),
    "total": (c_int, [Nested]),
    "flip": (Floats, [Floats]),
    "of_bits": (c_int, [Bits]),
    "of_union": (c_int, [Either]),
    "many": (
        c_double,
        [c_int, c_double, c_byte, c_float, c_int64, c_double, c_int, c_int, c_int, c_int],
    ),
    "fails": (c_int, [c_int]),
    "nothing": (None, []),
    "apply": (c_int, [CALLBACK, c_int]),
    "first": (c_int, [POINTER(c_int)]),
}


def declare(lib):
    for name, (result, args) in SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, args
    return lib


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctypes")
    (folder / "library.c").write_text(SOURCE)
    return str(build(folder / "library.c", folder / "library.so"))


@pytest.fixture
def lib(path):
    return declare(ctypes.CDLL(path))


@pytest.fixture
def bare(path):
    """Without argtypes and restype."""
    return ctypes.CDLL(path)


def outcome(fn, args):
    try:
        value = fn(*args)
    except Exception as e:
        return type(e), str(e)
    if isinstance(value, Structure):
        return [getattr(value, f[0]) for f in value._fields_]
    return "nan" if value != value else (type(value), value)


def same(lib, name, *args):
    """The outcome of a call, which is the same with and without gosched."""
    green = gosched.wrap(lib)
    without = outcome(getattr(lib, name), args)
    assert gosched.run(outcome, getattr(green, name), args) == without
    assert outcome(getattr(green, name), args) == without  # where no green thread runs
    return without[1] if isinstance(without, tuple) else without


# ---- conversions -------------------------------------------------------------------------------


def test_declared(lib):
    assert same(lib, "add", 2, 3) == 5
    assert same(lib, "i8", 300) == 44
    assert same(lib, "u64", -1) == 2**64 - 1
    assert same(lib, "f32", 0.5) == 0.5
    assert same(lib, "f80", 0.25) == 0.25
    assert same(lib, "flag", 7) is True
    assert same(lib, "letter", b"x") == b"x"
    assert same(lib, "wide", "ä") == "ä"
    assert same(lib, "text", b"abc") == b"abc"
    assert same(lib, "same", None) is None
    assert same(lib, "turn", Mixed(3, 1.5)) == [-3, -1.5]
    assert same(lib, "total", Nested(Mixed(1, 2.5), (c_int * 3)(3, 4, 5))) == 15
    assert same(lib, "flip", Floats(1, 2)) == [2.0, 1.0]
    assert same(lib, "many", 1, 2.5, 3, 4.5, 5, 6.5, 7, 8, 9, 10) == 56.5
    assert same(lib, "nothing") is None
    assert same(lib, "first", byref(c_int(9))) == 9
    assert same(lib, "first", (c_int * 2)(4, 5)) == 4
    assert same(lib, "first", None) == -1


def test_not_declared(bare):
    assert same(bare, "add", 2, 3) == 5
    assert same(bare, "add", c_int(2), c_int(3)) == 5
    assert same(bare, "first", byref(c_int(9))) == 9
    assert same(bare, "first", c_int.from_param(0) and None) == -1
    bare.f64.restype = c_double
    assert same(bare, "f64", c_double(1.5)) == 1.5
    bare.f32.restype = c_float
    assert same(bare, "f32", c_float(1.5)) == 1.5
    bare.f32.argtypes = [c_float]
    assert same(bare, "f32", 2.5) == 2.5
    bare.text.restype = c_char_p
    assert same(bare, "text", b"abc") == b"abc"
    assert same(bare, "text", ctypes.create_string_buffer(b"def")) == b"def"
    bare.text.restype = c_wchar_p
    assert same(bare, "text", "wide") == "wide"
    bare.turn.restype = Mixed
    assert same(bare, "turn", Mixed(3, 1.5)) == [-3, -1.5]
    assert same(bare, "add", c_int.from_param(4), c_int.from_param(5)) == 9
    bare.f64.restype = c_double
    assert same(bare, "f64", c_double.from_param(4.5)) == 4.5

    class Number:
        _as_parameter_ = 6

    assert same(bare, "add", Number(), 1) == 7


def test_errors(lib, bare):
    assert "argument 1" in same(lib, "add", "x", 1)
    assert same(lib, "add", 1) == "this function takes at least 2 arguments (1 given)"
    assert "argument 2" in same(bare, "add", 1, object())
    assert same(bare, "add", 2.5, 1)
    assert "too long" in same(bare, "add", 2**100, 1)
    assert same(lib, "first", c_double(2))
    assert same(lib, "turn", Floats(1, 2))
    assert same(lib, "letter", "x")


def test_converters_of_ones_own(bare):
    calls = []

    class Doubled:
        @classmethod
        def from_param(cls, value):
            calls.append(value)
            if value == 13:
                raise ValueError("not that one")
            return c_int(2 * value)

    bare.add.argtypes = [Doubled, c_int]
    assert same(bare, "add", 4, 1) == 9
    calls.clear()
    assert gosched.run(gosched.wrap(bare).add, 4, 1) == 9
    assert calls == [4]
    assert "not that one" in same(bare, "add", 13, 1)


def test_arrays_of_numpy(bare):
    numbers = np.array([7, 8], np.int32)
    bare.first.argtypes = [np.ctypeslib.ndpointer(np.int32, flags="C")]
    assert same(bare, "first", numbers) == 7
    assert "data type" in same(bare, "first", np.array([7.0]))
    bare.first.argtypes = None
    assert same(bare, "first", numbers.ctypes) == 7


def test_results(bare):
    bare.add.restype = lambda n: [n]
    assert same(bare, "add", 4, 1) == [5]
    bare.add.restype = c_int

    def check(result, function, args):
        assert function is bare.add
        if result == 13:
            raise ValueError("not that one")
        return result, args

    bare.add.errcheck = check
    assert same(bare, "add", 4, 1) == (5, (4, 1))
    assert "not that one" in same(bare, "add", 12, 1)


def test_set_later(bare):
    green = gosched.wrap(bare)

    def main():
        assert green.f64(c_double(2)) != 2.5
        green.f64.argtypes, green.f64.restype = [c_double], c_double
        assert bare.f64.restype is c_double
        assert green.f64(2.5) == 2.5
        bare.f64.restype = lambda n: "set"
        assert green.f64(2.5) == "set"

    gosched.run(main)


def test_what_cannot_be_told_is_the_original(lib):
    assert same(lib, "of_bits", Bits(3, 2)) == 23
    e = Either()
    e.i = 5
    assert isinstance(same(lib, "of_union", e), (int, str))


def test_variadic():
    libc = ctypes.CDLL(None)
    green = gosched.wrap(libc)

    def main():
        out = ctypes.create_string_buffer(64)
        green.snprintf.argtypes = [c_char_p, c_size_t, c_char_p]
        n = green.snprintf(out, 64, b"%d %s %.2f", 5, b"abc", c_double(2.5))
        return n, out.value

    assert gosched.run(main) == (10, b"5 abc 2.50")


# ---- errno -------------------------------------------------------------------------------------


def test_errno(path):
    with_errno = declare(ctypes.CDLL(path, use_errno=True))
    green = gosched.wrap(with_errno)
    without = gosched.wrap(ctypes.CDLL(path))
    seen = []

    def main():
        ctypes.set_errno(3)
        assert green.fails(7) == -1
        assert (ctypes.get_errno(), gosched.errno()) == (7, 7)
        green.succeeds()
        assert (ctypes.get_errno(), gosched.errno()) == (7, 0)
        without.fails(9)
        assert (ctypes.get_errno(), gosched.errno()) == (7, 9)
        green.fails.errcheck = lambda result, f, args: seen.append(ctypes.get_errno())
        green.fails(11)
        assert seen == [11]

    gosched.run(main)


# ---- green calls -------------------------------------------------------------------------------


def test_they_are_foreign_calls(lib):
    green = gosched.wrap(lib, critical=["add"])
    before = gosched.stats()["cgocalls"]

    def main():
        for i in range(50):
            assert green.add(i, 1) == i + 1
            assert green.f64(0.5) == 0.5

    gosched.run(main)
    assert gosched.stats()["cgocalls"] >= before + 50


def test_others_run_meanwhile_and_calls_migrate():
    libc = gosched.wrap(ctypes.CDLL(None), blocking=["usleep"])
    moved = 0

    def one():
        nonlocal moved
        for _ in range(20):
            before = threading.get_native_id()
            assert libc.usleep(100) == 0
            moved += before != threading.get_native_id()

    def main():
        for _ in range(100):
            with gosched.TaskGroup() as tg:
                for _ in range(20):
                    tg.go(one)
            if moved:
                break

    gosched.run(main)
    assert moved > 0


def test_callbacks(lib):
    green = gosched.wrap(lib, critical=["add"])

    @CALLBACK
    def add_one(n):
        gosched.sleep(0.001)
        return green.add(n, 1)

    def main():
        assert green.apply(add_one, 4) == 5

        def one(i):
            for k in range(10):
                assert green.apply(add_one, i * k) == i * k + 1

        with gosched.TaskGroup() as tg:
            for i in range(10):
                tg.go(one, i)

    gosched.run(main)


def test_in_a_callback_of_a_critical_function(lib):
    """There ctypes calls the function itself."""
    green = gosched.wrap(lib, critical=["apply"])
    inner = CALLBACK(lambda n: green.add(n, 1))
    assert gosched.run(green.apply, inner, 4) == 5


def test_errors_of_gosched_callbacks(lib):
    """They are raised by the call, as by those of dlopen."""
    green = gosched.wrap(lib)

    @gosched.callback("int(int)", error=5)
    def fails(n):
        raise ValueError("from the callback")

    address = int(gosched.ffi(gosched.dlopen(None, "")).cast("uintptr_t", fails.cdata))

    def main():
        with pytest.raises(ValueError, match="from the callback"):
            green.apply(CALLBACK(address), 4)
        assert green.add(1, 2) == 3

    gosched.run(main)
    fails.free()


def test_unblock():
    libc = gosched.wrap(ctypes.CDLL(None))
    r, w = os.pipe()
    seen = []

    def unblock(fd, to, n):
        seen.append((fd, n))
        os.write(w, b"x")

    read = gosched.bind(libc.read, unblock=unblock)

    def main():
        to = ctypes.create_string_buffer(8)
        green = gosched.go(read, r, to, 8)
        until(lambda: green.state == "syscall")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()
        os.write(w, b"abc")
        assert read(r, to, 8) == 3
        me = gosched.current()
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            read(r, to, 8)
        assert me.state == "running"

    gosched.run(main)
    assert seen == [(r, 8), (r, 8)]
    os.close(r)
    os.close(w)


def test_bind_and_hints(lib):
    green = gosched.wrap(lib)
    f = gosched.bind(green.add, critical=True)
    assert gosched.run(f, 1, 2) == 3
    assert "add" in f.__name__
    with pytest.raises(ValueError, match="neither blocks"):
        gosched.bind(green.add, critical=True, blocking=True)
    with pytest.raises(gosched.FFIError, match="blocking names 'x'"):
        gosched.wrap(lib, blocking=["x"])
    with pytest.raises(TypeError, match="blocking must be a list"):
        gosched.wrap(lib, blocking="add")


def test_the_library(lib, path):
    green = gosched.wrap(lib)
    assert green.add is green.add
    assert green["add"] is not green["add"]
    assert gosched.run(green["add"], 1, 2) == 3
    assert green._name == lib._name
    assert path in repr(green)
    with pytest.raises(AttributeError, match="no_such"):
        _ = green.no_such
    with pytest.raises(TypeError, match=r"gosched\.ffi: lib must be"):
        gosched.ffi(green)


def test_functions_that_hold_the_gil(path):
    with pytest.raises(TypeError, match="need the GIL"):
        gosched.wrap(ctypes.PyDLL(path))
    with pytest.raises(TypeError, match=r"gosched\.wrap: lib must be"):
        gosched.wrap(ctypes.CDLL(path).add)


def test_plain_threads(lib):
    green = gosched.wrap(lib)
    assert in_thread(lambda: green.add(1, 2)) == 3
    assert gosched.run(lambda: in_thread(lambda: green.add(1, 2))) == 3


def test_nothing_is_kept(path):
    lib = declare(ctypes.CDLL(path))
    green = gosched.wrap(lib)

    def main(f):
        for _ in range(50):
            f.argtypes = [c_int, c_int]  # another tuple each time: all is made anew
            assert f(1, 2) == 3

    gosched.run(main, green.add)
    ref = weakref.ref(lib)
    del lib, green
    gc.collect()
    assert ref() is None


# ---- the same answers --------------------------------------------------------------------------

VALUES = st.one_of(
    st.integers(-(2**66), 2**66),
    st.integers(-300, 300),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=2),
    st.binary(max_size=2),
    st.builds(c_int, st.integers(-9, 9)),
    st.builds(c_double, st.floats()),
    st.builds(c_uint8, st.integers(0, 9)),
    st.builds(Mixed, st.integers(-9, 9), st.floats(-9, 9)),
    st.builds(Floats, st.floats(-9, 9), st.floats(-9, 9)),
    st.just(object()),
    st.tuples(st.integers()),
)
NUMBERS = ["add", "i8", "u8", "i16", "i64", "u64", "f32", "f64", "f80", "flag", "letter", "wide"]
NUMBERS += ["turn", "flip", "nothing", "many"]


@pytest.fixture(scope="module")
def pair(path):
    lib = declare(ctypes.CDLL(path))
    return lib, gosched.wrap(lib)


@given(st.sampled_from(NUMBERS), st.lists(VALUES, max_size=3))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_arguments(pair, name, args):
    lib, green = pair
    without = outcome(getattr(lib, name), args)
    assert gosched.run(outcome, getattr(green, name), args) == without


@given(st.lists(VALUES, min_size=1, max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_arguments_without_types(path, args):
    """Only of a function that looks at none of them: what it gets is not what it is."""
    lib = ctypes.CDLL(path)
    lib.succeeds.argtypes = None
    without = outcome(lib.succeeds, args)
    assert gosched.run(outcome, gosched.wrap(lib).succeeds, args) == without


@given(st.lists(st.sampled_from([c_long, c_double, c_char, c_float, c_int, c_bool]), max_size=9))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_struct(path, types):
    """A struct by value, to a C function that Python has written."""
    if not types:
        return
    kind = type("Kind", (Structure,), {"_fields_": [(f"m{i}", t) for i, t in enumerate(types)]})
    value = kind(*(b"x" if t is c_char else 1 for t in types))
    seen = []

    @CFUNCTYPE(c_int, kind)
    def look(k):
        seen.append([getattr(k, f"m{i}") for i in range(len(types))])
        return 5

    lib = ctypes.CDLL(path)
    function = type(lib.succeeds)(ctypes.cast(look, c_void_p).value)
    function.argtypes = [kind]
    green = CtypesFunction(function, gosched.wrap(lib)._gosched_core)
    assert gosched.run(green, value) == 5
    assert seen == [[getattr(value, f"m{i}") for i in range(len(types))]]
