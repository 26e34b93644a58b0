"""Numbers go in and come out as cffi has them, whoever converts them.

Plain ints and floats are converted without cffi; cffi itself is the judge.  snprintf shows what C
was given, under a declaration of its own for each type.
"""

from __future__ import annotations

import cffi
import gosched
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

FORMATS = {
    "signed char": b"%hhd",
    "unsigned char": b"%hhu",
    "short": b"%hd",
    "unsigned short": b"%hu",
    "int": b"%d",
    "unsigned int": b"%u",
    "long": b"%ld",
    "unsigned long": b"%lu",
    "long long": b"%lld",
    "unsigned long long": b"%llu",
    "int8_t": b"%hhd",
    "uint16_t": b"%hu",
    "size_t": b"%zu",
    "double": b"%a",
    "enum e": b"%u",
    "_Bool": b"%d",
    "char": b"%c",
}
DECLARATION = (
    "enum e {{ ZERO, ONE }}; int snprintf(char *to, size_t size, const char *f, {} value);"
)


class Index:
    def __index__(self) -> int:
        return 7


class Sub(int):
    pass


VALUES = (
    st.integers(-(2**70), 2**70)
    | st.sampled_from(
        [
            sign * 2**bits + d
            for bits in (7, 8, 15, 16, 30, 31, 32, 60, 63, 64)
            for sign in (-1, 1)
            for d in (-1, 0, 1)
        ]
    )
    | st.booleans()
    | st.floats()
    | st.sampled_from([None, "1", b"x", Index(), Sub(5), 1j, [1], "ONE"])
)


@pytest.fixture(scope="module")
def sides():
    made = {}
    for ctype in FORMATS:
        ffi = cffi.FFI()
        ffi.cdef(DECLARATION.format(ctype))
        made[ctype] = (ffi, ffi.dlopen(None), gosched.dlopen(None, ffi))
    return made


def outcome(function, ffi, form, value):
    to = ffi.new("char[]", 64)
    try:
        n = function(to, 64, form, value)
    except Exception as error:
        return type(error)
    return n, ffi.buffer(to)[:n]


@pytest.mark.parametrize("ctype", FORMATS)
@given(value=VALUES)
@example(value=2**64 - 1)
@example(value=-0.0)
def test_arguments(ctype, value, sides):
    ffi, theirs, ours = sides[ctype]
    expected = outcome(theirs.snprintf, ffi, FORMATS[ctype], value)
    assert outcome(ours.snprintf, ffi, FORMATS[ctype], value) == expected


@pytest.mark.parametrize("ctype", [t for t in FORMATS if t not in ("double", "enum e", "_Bool")])
def test_results(ctype):
    """strtoull's result, as if it had other types: all of its low bits are used."""
    declaration = "{} strtoull(const char *text, char **end, int base);"
    ffi = cffi.FFI()
    ffi.cdef(declaration.format(ctype))
    theirs, ours = ffi.dlopen(None), gosched.dlopen(None, ffi)
    for bits in (0, 1, 7, 8, 15, 16, 31, 32, 63, 64):
        for d in (-1, 0, 1):
            text = b"%d" % max(0, min(2**64 - 1, 2**bits + d))
            got = ours.strtoull(text, ffi.NULL, 10)
            expected = theirs.strtoull(text, ffi.NULL, 10)
            assert (type(got), got) == (type(expected), expected)


def test_floating_results():
    declaration = "double ldexp(double x, int e); float ldexpf(float x, int e);"
    ffi = cffi.FFI()
    ffi.cdef(declaration)
    theirs, ours = ffi.dlopen("libm.so.6"), gosched.dlopen("libm.so.6", ffi)
    for x in (0.0, -0.0, 1.1, 3, True, 1e300, float("inf")):
        for function in ("ldexp", "ldexpf"):
            got, expected = getattr(ours, function)(x, 2), getattr(theirs, function)(x, 2)
            assert repr(got) == repr(expected)
