"""Whatever dlopen, bind, wrap and callback are given: a clear error or success, never a crash."""

from __future__ import annotations

import os
from typing import Any

import gosched
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

ACCEPTED = (TypeError, ValueError, OverflowError, BufferError, gosched.Error)

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just(object()),
    st.just(len),
    st.just(int),
)
# Pieces of C, so that what is made of them is nearly right now and then.
PIECES = st.sampled_from(
    [
        *("int", "char", "struct", "union", "enum", "void", "unsigned", "long", "double", "_Bool"),
        *("float", "const", "typedef", "extern", "static", "size_t", "*", "(", ")", "[", "]", "{"),
        *("}", ";", ",", "...", ":", "=", "3", "-1", "0x", "1e9", "abs", "x", "y", "#define X 1\n"),
        *("/*", "*/", '"', "'", "\\", "\n", "__attribute__((packed))", "%", "\0", "ä", "(*f)"),
    ]
)
C = st.lists(PIECES, max_size=14).map(" ".join)
# The same examples each time: what others find is tried with more of them, by hand.
COUNT = settings(
    max_examples=int(os.environ.get("GOSCHED_TEST_EXAMPLES", "200")),
    derandomize="GOSCHED_TEST_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def libc():
    return gosched.dlopen(
        None,
        "int abs(int); int snprintf(char *to, size_t n, const char *how, ...);"
        "typedef int compare(const void *, const void *);",
    )


def refused(error: BaseException) -> None:
    assert isinstance(error, ACCEPTED), repr(error)
    assert str(error), repr(error)


def tried(fn: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return fn(*args, **kwargs)
    except Exception as error:
        refused(error)
        return None


# As an argument of a function that looks at none: what is wrong is found before the call, or never.
PARAMETERS = [
    *("int", "char", "_Bool", "float", "double", "long double", "uint8_t", "size_t", "wchar_t"),
    *("enum e", "struct s", "struct s *", "union u *", "struct unknown *", "void *"),
    *("char *", "const char *", "unsigned char *", "wchar_t *", "char **", "int *", "double *"),
    *("_Bool *", "int[3]", "int (*)[3]", "struct s[2]", "int (*)(int)", "compare *", "compare **"),
    "void (*)(struct s)",
]
PARAMETER_TYPES = (
    "enum e { A, B }; struct s { int a; double b; char c[4]; int (*f)(int); };"
    " union u { int a; double b; }; typedef int compare(const void *, const void *);"
)


@pytest.fixture(scope="module")
def takers():
    return {
        parameter: gosched.dlopen(None, f"{PARAMETER_TYPES} int getpid({parameter});").getpid
        for parameter in PARAMETERS
    }


@given(
    st.sampled_from(PARAMETERS),
    ANYTHING
    | st.binary(max_size=40).map(bytearray)
    | st.binary(max_size=40).map(memoryview)
    | st.lists(st.none() | st.floats() | st.text(max_size=3), max_size=4).map(tuple)
    | st.dictionaries(st.sampled_from(["a", "b", "c", "f", "z"]), st.none() | st.integers()),
)
@COUNT
def test_arguments_of_every_type(takers, parameter, value):
    assert tried(takers[parameter], value) in (None, os.getpid())


@given(C)
@COUNT
def test_declarations(text):
    lib = tried(gosched.dlopen, None, text)
    for name in dir(lib) if lib is not None else ():
        tried(getattr, lib, name)


@given(C)
@COUNT
def test_declarations_behind_good_ones(text):
    error = None
    try:
        gosched.dlopen(None, "int abs(int);\n" + text)
    except Exception as e:
        refused(e)
        error = e
    if isinstance(error, gosched.FFIError) and error.line is not None:
        assert 1 <= error.line <= text.count("\n") + 2
        assert error.column is not None
        assert error.column >= 1


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING)
@COUNT
def test_dlopen(path, cdef, blocking, critical):
    tried(gosched.dlopen, path, cdef, blocking, critical)
    tried(gosched.dlopen, path, "int abs(int);")
    tried(gosched.dlopen, None, "int abs(int);", blocking)
    tried(gosched.dlopen, None, "int abs(int);", critical=critical)


@given(ANYTHING, ANYTHING, ANYTHING)
@COUNT
def test_bind(libc, thing, blocking, critical):
    with pytest.raises(TypeError, match=r"gosched\.bind: "):
        gosched.bind(thing)
    with pytest.raises(TypeError, match=r"gosched\.bind: "):
        gosched.bind(libc.snprintf)
    bound = tried(gosched.bind, libc.abs, unblock=thing)
    if bound is not None:
        assert thing is None or callable(thing)
        assert bound(-3) == 3
    tried(gosched.bind, libc.abs, blocking=blocking, critical=critical)


@given(ANYTHING, ANYTHING, ANYTHING)
@COUNT
def test_wrap(thing, blocking, critical):
    with pytest.raises(TypeError, match=r"gosched\.wrap: "):
        gosched.wrap(thing)
    import ctypes

    lib = ctypes.CDLL(None)
    tried(gosched.wrap, lib, blocking=blocking)
    tried(gosched.wrap, lib, critical=critical)
    tried(gosched.wrap, lib, blocking=blocking, critical=critical)


@given(
    st.one_of(C, st.sampled_from(["int(int)", "compare", "void(*)(void)"]), ANYTHING),
    st.one_of(st.just(len), ANYTHING),
    ANYTHING,
    ANYTHING,
)
@COUNT
def test_callback(libc, ctype, fn, error, onerror):
    for lib in (None, libc):
        made = tried(gosched.callback, ctype, fn, error=error, onerror=onerror, lib=lib)
        if isinstance(made, gosched.Callback):
            made.free()
        made = tried(gosched.callback, ctype, len, error=error, lib=lib)
        if isinstance(made, gosched.Callback):
            made.free()


@given(ANYTHING)
@COUNT
def test_the_library_of_a_callback(thing):
    assume(thing is not None)
    with pytest.raises(TypeError, match="lib must be"):
        gosched.callback("int(int)", len, lib=thing)


@given(st.lists(ANYTHING, max_size=5), st.booleans())
@COUNT
def test_calls(libc, args, green):
    """Nothing here is memory that C would write to."""
    for function in (libc.abs, libc.snprintf):
        if function is libc.snprintf and len(args) >= 3:
            continue
        if green:
            gosched.run(tried, function, *args)
        else:
            tried(function, *args)
    with pytest.raises(TypeError, match="keyword"):
        libc.abs(x=1)


@given(ANYTHING)
@COUNT
def test_attributes(libc, thing):
    with pytest.raises(AttributeError, match="abs of the process is no variable"):
        libc.abs = thing
    name = str(thing)
    for what in (libc, gosched.wrap(gosched.ffi(libc).dlopen(None))):
        if name not in dir(what):
            with pytest.raises(AttributeError):
                getattr(what, name)
    tried(gosched.ffi, thing)
    tried(gosched.dlclose, thing)
