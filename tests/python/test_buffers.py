"""Objects that export their memory, where C wants a pointer."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import sys
from typing import Any

import gosched
import numpy as np
import pytest
from conftest import until
from hypothesis import given, settings
from hypothesis import strategies as st

C = """
typedef long time_t;
struct tm { int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
            long tm_gmtoff; const char *tm_zone; };
void *memset(void *to, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *text);
double frexp(double value, int *exponent);
double modf(double value, double *whole);
struct tm *gmtime_r(const time_t *t, struct tm *out);
ssize_t read(int fd, void *to, size_t n);
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
"""


@pytest.fixture(scope="module")
def libc():
    return gosched.dlopen(None, C)


class Tm(ctypes.Structure):
    _fields_ = [
        *((f"t{i}", ctypes.c_int) for i in range(9)),
        ("gmtoff", ctypes.c_long),
        ("zone", ctypes.c_char_p),
    ]


def writable(n: int) -> list[Any]:
    return [
        bytearray(n),
        memoryview(bytearray(n)),
        array.array("b", bytes(n)),
        array.array("d", bytes(n)),
        mmap.mmap(-1, n),
        np.zeros(n, np.uint8),
        np.zeros((2, n // 2), np.int8),
        np.zeros(n // 8, np.float64),
        (ctypes.c_char * n)(),
    ]


@pytest.mark.parametrize("memory", writable(64), ids=lambda m: type(m).__name__)
def test_c_gets_the_memory_itself(libc, memory):
    def main():
        libc.memset(memory, ord("x"), 3)
        assert libc.memcmp(memory, b"xxx\0", 4) == 0
        assert libc.strlen(bytearray(b"four\0")) == 4

    gosched.run(main)
    assert bytes(memoryview(memory).cast("B"))[:4] == b"xxx\0"
    main()  # and on a thread without green threads
    if isinstance(memory, mmap.mmap):
        memory.close()


def test_numbers_by_pointer(libc):
    def main():
        for exponent in (
            array.array("i", [0]),
            np.zeros(1, np.int32),
            np.zeros((), np.int32),
            (ctypes.c_int * 1)(),
            ctypes.c_int(),
            memoryview(bytearray(4)).cast("i"),
        ):
            assert libc.frexp(8.0, exponent) == 0.5
            assert bytes(memoryview(exponent).cast("B")) == (4).to_bytes(4, sys.byteorder)
        whole = np.zeros(2)
        assert libc.modf(2.5, whole) == 0.5
        assert whole.tolist() == [2.0, 0.0]

    gosched.run(main)


def test_structs_by_pointer(libc):
    def main():
        out, when = Tm(), np.array([86400 * 365])
        libc.gmtime_r(when, out)
        assert (out.t5, out.t4, out.t3) == (71, 0, 1)
        many = np.zeros(
            2, np.dtype([("ints", "9i4"), ("gmtoff", "i8"), ("zone", "u8")], align=True)
        )
        libc.gmtime_r(array.array("l", [0]), many)
        assert many[0]["ints"][5] == 70

    gosched.run(main)


def test_a_big_array_is_not_copied(libc):
    rng = np.random.default_rng(1)
    numbers = rng.integers(-1000, 1000, 1000, np.int32)
    address = numbers.ctypes.data
    seen = []

    @gosched.callback("int(const int *, const int *)", lib=libc)
    def compare(a, b):
        ffi = gosched.ffi(libc)
        seen.append(int(ffi.cast("uintptr_t", a)))
        return (a[0] > b[0]) - (a[0] < b[0])

    ffi = gosched.ffi(libc)
    gosched.run(
        lambda: libc.qsort(
            numbers, len(numbers), 4, ffi.cast("int (*)(const void *, const void *)", compare.cdata)
        )
    )
    assert sorted(numbers.tolist()) == numbers.tolist()
    assert min(abs(a - address) for a in seen) < numbers.nbytes
    compare.free()


def test_exported_for_the_whole_call(libc):
    """It cannot be resized or closed meanwhile, and can be afterwards."""
    r, w = os.pipe()
    read = gosched.bind(libc.read, unblock=lambda fd, to, n: os.write(w, b"end"))

    def main():
        for memory, resize in (
            (bytearray(8), lambda m: m.append(1)),
            (array.array("b", bytes(8)), lambda m: m.append(1)),
            (mmap.mmap(-1, 8), lambda m: m.close()),
        ):
            green = gosched.go(libc.read, r, memory, 8)
            until(lambda g=green: g.state == "syscall")
            with pytest.raises(BufferError):
                resize(memory)
            os.write(w, b"abc")
            assert green.result() == 3
            assert bytes(memory[:3]) == b"abc"
            resize(memory)
        # A cancelled call lets go of it as well.
        memory = bytearray(8)
        green = gosched.go(read, r, memory, 8)
        until(lambda: green.state == "syscall")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()
        memory.append(1)

    gosched.run(main)
    os.close(r)
    os.close(w)


def test_let_go_after_errors(libc):
    memory = bytearray(8)
    for _ in range(100):
        with pytest.raises(TypeError, match="argument 2"):
            libc.memset(memory, "x", 3)
        with pytest.raises(TypeError, match=r"frexp\(\) argument 2 \(int \*\): the items of this"):
            libc.frexp(1.0, memory)
    memory.append(1)


def test_references(libc):
    memory = bytearray(8)
    before = sys.getrefcount(memory)

    def main():
        for _ in range(1000):
            libc.memset(memory, 0, 8)

    gosched.run(main)
    assert sys.getrefcount(memory) == before


@pytest.mark.parametrize(
    "memory",
    [
        memoryview(b"abc"),
        np.frombuffer(b"abcd", np.uint8),
        np.broadcast_to(np.zeros(1, np.uint8), 4),
    ],
    ids=["memoryview", "numpy", "broadcast"],
)
def test_read_only(libc, memory):
    """The declaration says const, or the object refuses; bytes are as in cffi."""
    with pytest.raises((BufferError, ValueError), match=r"memset\(\) argument 1 \(void \*\)"):
        libc.memset(memory, 0, 0)
    if memory.contiguous if isinstance(memory, memoryview) else memory.flags.c_contiguous:
        assert libc.memcmp(memory, b"abc", 3) in (-1, 0, 1)
    target = bytes(4)
    libc.memcpy(target, b"ab", 0)


def test_not_contiguous(libc):
    for memory in (
        memoryview(bytearray(8))[::2],
        np.zeros(8, np.uint8)[::2],
        np.zeros((3, 3), np.uint8).T[:2],
    ):
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            libc.memset(memory, 0, 1)


@pytest.mark.parametrize(
    "memory",
    [
        np.zeros(1, np.int64),
        np.zeros(1, np.uint32),
        np.zeros(1, np.float32),
        np.zeros(1, ">i4"),
        array.array("d", [0]),
        bytearray(4),
        b"abcd",
        np.int32(4),
        np.zeros(1, np.dtype([("a", "i4")])),
        memoryview(bytearray(4)),
        np.zeros(1, object),
    ],
    ids=repr,
)
def test_other_items(libc, memory):
    with pytest.raises(TypeError, match=r"frexp\(\) argument 2 \(int \*\)"):
        libc.frexp(1.0, memory)


def test_wrong_structs(libc):
    for memory in (bytearray(56), np.zeros(1, np.dtype([("a", "i4")])), np.zeros(56, np.uint8)):
        with pytest.raises(TypeError, match=r"gmtime_r\(\) argument 2 \(struct tm \*\)"):
            libc.gmtime_r([0], memory)


def test_in_a_callback_of_a_critical_function(libc):
    """There a call is cffi's own, which knows no buffers."""
    critical = gosched.dlopen(None, gosched.ffi(libc), critical=["qsort"])
    ffi = gosched.ffi(libc)
    memory = bytearray(2)

    @gosched.callback("int(const void *, const void *)")
    def compare(a, b):
        libc.memset(memory, ord("y"), 1)
        return libc.memcmp(a, b, 1)

    def main():
        numbers = ffi.new("char[]", b"ba")
        critical.qsort(numbers, 2, 1, compare)
        return ffi.string(numbers)

    assert gosched.run(main) == b"ab"
    assert memory == b"y\0"
    compare.free()


# ---- any memory --------------------------------------------------------------------------------

CODES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}
TYPES = {
    "int8_t": "b",
    "uint8_t": "B",
    "int16_t": "h",
    "uint16_t": "H",
    "int32_t": "i",
    "uint32_t": "I",
    "int64_t": "q",
    "uint64_t": "Q",
    "float": "f",
    "double": "d",
}


@pytest.fixture(scope="module")
def takers():
    """memcpy under other declarations: what it is given is what it reads."""
    made = {}
    for ctype in [*TYPES, "void", "char"]:
        made[ctype] = gosched.dlopen(
            None, f"void *memcpy(void *to, const {ctype} *from, size_t n);"
        ).memcpy
    return made


@given(
    st.sampled_from([*TYPES, "void", "char"]),
    st.sampled_from(sorted(CODES)),
    st.binary(min_size=8, max_size=64),
    st.sampled_from(["array", "numpy", "memoryview", "read-only"]),
    st.integers(1, 3),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_taken(takers, ctype, code, data, kind, step):
    data = data[: len(data) // 8 * 8]
    memory: Any = array.array(code, data)
    if kind == "numpy":
        memory = np.frombuffer(bytearray(data), code)[::step]
    elif kind == "memoryview":
        memory = memoryview(memory)[::step]
    elif kind == "read-only":
        memory = memoryview(data).cast(code)
    view = memoryview(memory)
    out = bytearray(64)
    expected = TYPES.get(ctype)
    if not view.c_contiguous:
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            takers[ctype](out, memory, view.nbytes)
    elif expected is None or CODES[expected] == 1 or expected == code:
        takers[ctype](out, memory, view.nbytes)
        assert out[: view.nbytes] == view.tobytes()
    else:
        with pytest.raises(TypeError, match="the items of this"):
            takers[ctype](out, memory, view.nbytes)
