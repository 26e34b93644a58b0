"""gosched.wrap of cffi's libraries: the same answers and errors as without, and green calls."""

from __future__ import annotations

import gc

import cffi
import gosched
import pytest
from compiled import compile_module, python_module
from conftest import until
from hypothesis import given, settings
from hypothesis import strategies as st

LIBC = """
typedef struct { int quot; int rem; } div_t;
int abs(int);
long labs(long);
div_t div(int a, int b);
double strtod(const char *s, char **end);
size_t strlen(const char *s);
int usleep(unsigned usec);
int no_such_function(void);
extern int opterr;
#define ANSWER 42
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return compile_module(tmp_path_factory.mktemp("compiled"), "_gosched_compiled")


@pytest.fixture(scope="session")
def pair(compiled):
    return compiled.lib, gosched.wrap(compiled.lib)


def in_line():
    ffi = cffi.FFI()
    ffi.cdef(LIBC)
    return ffi, ffi.dlopen(None)


def out_of_line(folder):
    module = python_module(folder, "_gosched_out_of_line", LIBC)
    return module.ffi, module.ffi.dlopen(None)


def outcome(fn, *args):
    """What a call comes to, in a form in which two can be compared."""
    try:
        value = fn(*args)
    except Exception as e:
        return type(e)
    if isinstance(value, float) and value != value:
        return "nan"
    if repr(value).startswith("<cdata 'point'"):
        return (value.x, value.y)
    return type(value), value


# ---- what there is -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["in-line", "out-of-line"])
def test_abi_mode(mode, tmp_path):
    ffi, lib = in_line() if mode == "in-line" else out_of_line(tmp_path)
    green = gosched.wrap(lib)
    assert gosched.ffi(green) is ffi
    assert set(dir(green)) == set(dir(lib))
    assert "the process" in repr(green)

    def main():
        d = green.div(17, 5)
        return green.abs(-3), green.labs(-4), d.quot, d.rem, green.strtod(b"2.5", ffi.NULL)

    before = gosched.stats()["cgocalls"]
    assert gosched.run(main) == (3, 4, 3, 2, 2.5)
    assert gosched.stats()["cgocalls"] > before
    assert main() == (3, 4, 3, 2, 2.5)
    assert green.ANSWER == 42
    assert green.opterr == lib.opterr == 1
    green.opterr = 0
    assert lib.opterr == 0
    lib.opterr = 1


def test_a_missing_symbol_is_the_same_error(tmp_path):
    for _, lib in (in_line(), out_of_line(tmp_path)):
        green = gosched.wrap(lib)
        with pytest.raises(Exception) as theirs:
            _ = lib.no_such_function
        with pytest.raises(theirs.type) as ours:
            _ = green.no_such_function
        assert str(ours.value) == str(theirs.value)
        with pytest.raises(AttributeError):
            _ = green.not_declared


def test_api_mode(pair, compiled):
    lib, green = pair
    ffi = compiled.ffi
    assert gosched.ffi(green) is ffi
    assert dir(green) == sorted(dir(lib))
    assert (green.LIMIT, green.LONG_LIMIT, green.GREEN) == (77, 2**40, 7)
    assert ffi.string(green.title) == b"compiled"
    assert green.counter == 3
    green.counter = 4
    assert lib.counter == 4
    lib.counter = 3

    def main():
        assert green.add(1, 2) == 3
        assert (green.swap((1, 2)).x, green.swap({"x": 1, "y": 2}).y) == (2, 1)
        assert green.nobody() == ffi.NULL
        assert green.nothing() is None
        assert green.fails(7) == -1
        assert gosched.errno() == 7
        assert green.sum([1, 2, 3], 3) == 6
        to = ffi.new("char[]", 32)
        assert green.format(to, 32, b"%d %s", ffi.cast("int", 5), ffi.new("char[]", b"x")) == 3
        assert ffi.string(to) == b"5 x"
        out = bytearray(3)
        green.fill(out, ord("x"), 3)
        assert out == b"xxx"

        @gosched.callback("int(int)")
        def add_one(n):
            gosched.sleep(0.001)
            return n + 1

        assert green.apply(add_one, 4) == 5
        add_one.free()

    before = gosched.stats()["cgocalls"]
    gosched.run(main)
    assert gosched.stats()["cgocalls"] > before


def test_what_only_a_compiler_can_pass_is_the_original(pair, compiled):
    lib, green = pair
    assert green.make_part is lib.make_part
    p = green.make_part(5)
    assert green.part_a(compiled.ffi.addressof(p)) == 5
    with pytest.raises(gosched.FFIError, match="make_part"):
        _ = gosched.wrap(lib, blocking=["make_part"]).make_part
    with pytest.raises(TypeError, match="no function of gosched"):
        gosched.bind(green.make_part, blocking=True)


def test_others_run_meanwhile(pair):
    nap = gosched.wrap(pair[0], blocking=["nap"]).nap

    def main():
        naps = [gosched.go(nap, 100_000) for _ in range(50)]
        until(lambda: gosched.stats()["incgo"] > 1)  # they do not wait for each other
        return [g.result() for g in naps]

    assert gosched.run(main) == [0] * 50


def test_hints_and_unblock(compiled):
    import os

    lib = compiled.lib
    green = gosched.wrap(lib, blocking=["nap"], critical=["add"])
    assert gosched.run(green.add, 2, 3) == 5
    ffi = cffi.FFI()
    ffi.cdef("ssize_t read(int fd, void *to, size_t n);")
    r, w = os.pipe()
    read = gosched.bind(
        gosched.wrap(ffi.dlopen(None)).read, unblock=lambda fd, to, n: os.write(w, b"x")
    )

    def main():
        g = gosched.go(read, r, bytearray(4), 4)
        until(lambda: g.state == "syscall")
        g.cancel()
        with pytest.raises(gosched.Cancelled):
            g.result()

    gosched.run(main)
    os.close(r)
    os.close(w)


def test_the_library_is_kept(compiled):
    ffi, lib = in_line()
    f = gosched.wrap(lib).abs
    del ffi, lib
    gc.collect()
    assert gosched.run(f, -2) == 2


def test_closing(compiled):
    _, lib = in_line()
    green = gosched.wrap(lib)
    f = green.abs
    gosched.dlclose(green)
    with pytest.raises(gosched.FFIError, match="was closed"):
        f(-1)
    with pytest.raises(gosched.FFIError, match="compiled module"):
        gosched.dlclose(gosched.wrap(compiled.lib))


def test_an_ffi_that_is_given(pair, compiled):
    green = gosched.wrap(pair[0], ffi=compiled.ffi)
    assert gosched.ffi(green) is compiled.ffi


@pytest.mark.parametrize("bad", [None, 5, "libc.so.6", object(), cffi.FFI(), len, gosched])
def test_anything_else(bad):
    with pytest.raises(TypeError, match=r"gosched\.wrap: lib must be a library of cffi"):
        gosched.wrap(bad)


def test_bad_hints(pair):
    lib, green = pair
    with pytest.raises(TypeError, match="green already"):
        gosched.wrap(green)
    with pytest.raises(gosched.FFIError, match="blocking names 'x'"):
        gosched.wrap(lib, blocking=["x"])
    with pytest.raises(TypeError, match="critical must be a list"):
        gosched.wrap(lib, critical="add")
    with pytest.raises(gosched.FFIError, match="both"):
        gosched.wrap(lib, critical=["add"], blocking=["add"])


def test_members_that_are_not_given_are_zero(pair):
    """cffi passes what happens to be there."""
    swap = pair[1].swap
    assert (swap({}).x, swap([]).y, swap({"y": 3}).y, swap([4]).x) == (0, 0, 0, 0)


# ---- the same answers --------------------------------------------------------------------------

# Nothing here is an object whose memory our functions take and cffi's do not.
VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-300, 300),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=4),
    st.fixed_dictionaries({"x": st.integers(-9, 9), "y": st.integers()}),
    st.just(object()),
    st.just(len),
)
ONE = ["low", "wide", "uwide", "narrow", "half", "single", "negate", "upper", "next", "swap"]
ONE += ["fails", "length"]


@given(st.sampled_from(ONE), VALUES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_one_argument(pair, name, value):
    if name == "length" and isinstance(value, bytes):
        value += b"\0"
    lib, green = pair
    assert outcome(getattr(green, name), value) == outcome(getattr(lib, name), value)


@given(st.lists(VALUES, max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_arguments(pair, values):
    lib, green = pair
    for name in ("add", "nothing", "nobody"):
        assert outcome(getattr(green, name), *values) == outcome(getattr(lib, name), *values)


@given(st.lists(st.integers(-(2**33), 2**33), max_size=5))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_lists(pair, numbers):
    lib, green = pair
    n = len(numbers)
    assert outcome(green.sum, numbers, n) == outcome(lib.sum, numbers, n)


@given(st.one_of(st.integers(), st.none(), st.text(), st.tuples(VALUES, VALUES)))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_what_is_no_library(bad):
    with pytest.raises(TypeError, match=r"gosched\.wrap"):
        gosched.wrap(bad)
