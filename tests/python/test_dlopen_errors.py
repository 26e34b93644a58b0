"""dlopen: what is missing, wrong, or used wrongly gives a clear error, and the program goes on."""

from __future__ import annotations

import builtins
import os
import threading

import cffi
import gosched
import pytest
from conftest import until


def test_missing_library():
    with pytest.raises(gosched.FFIError, match=r"cannot load libno-such\.so\.9: .*cannot open"):
        gosched.dlopen("libno-such.so.9", "int f(void);")
    with pytest.raises(gosched.FFIError, match="cannot load /dev/null"):
        gosched.dlopen("/dev/null", "int f(void);")


def test_missing_symbol():
    lib = gosched.dlopen(None, "int no_such_function(int); extern int no_such_variable;")
    for name in ("no_such_function", "no_such_variable"):
        for _ in range(2):
            with pytest.raises(gosched.FFIError, match=rf"the process has no symbol {name}"):
                getattr(lib, name)


def test_undeclared_name():
    lib = gosched.dlopen(None, "int abs(int);")
    with pytest.raises(AttributeError, match="labs is not in the declarations of the process"):
        _ = lib.labs
    assert not hasattr(lib, "labs")
    assert not hasattr(lib, "__wrapped__")


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("int foo(", 1, 9),
        ("int f(int);\nfoo_t g(int);", 2, 1),
        ("int f(int);\n\nint g(int)  int h;", 3, 5),
        ("@", 1, 1),
        ("int f(int);\n   int g(...);", 2, 8),
        ('int f(int);\n#define X "text"\n', 2, 1),
        ("struct s { int a; ", 1, 18),
        ("int f(int) { return 0; }\nint g(", 2, 7),
    ],
)
def test_wrong_declarations(source, line, column):
    with pytest.raises(gosched.FFIError, match=rf"line {line}, column {column} ") as info:
        gosched.dlopen(None, source)
    assert (info.value.line, info.value.column) == (line, column)


def test_other_errors_have_no_place():
    with pytest.raises(gosched.FFIError) as info:
        gosched.dlopen("libno-such.so", "int f(void);")
    assert info.value.line is None
    assert info.value.column is None


@pytest.mark.parametrize("bad", [None, 5, b"int f(void);", ["int f(void);"]])
def test_cdef_of_the_wrong_type(bad):
    with pytest.raises(TypeError, match="cdef must be C declarations"):
        gosched.dlopen(None, bad)


@pytest.mark.parametrize("bad", [5, b"x", object()])
def test_path_of_the_wrong_type(bad):
    with pytest.raises((TypeError, gosched.FFIError)):
        gosched.dlopen(bad, "int f(void);")


def test_hints():
    with pytest.raises(gosched.FFIError, match="blocking names 'nope'"):
        gosched.dlopen(None, "int abs(int);", blocking=["nope"])
    with pytest.raises(gosched.FFIError, match="critical names 'nope'"):
        gosched.dlopen(None, "int abs(int);", critical=["nope"])
    with pytest.raises(TypeError, match="blocking must be a list of names"):
        gosched.dlopen(None, "int abs(int);", blocking="abs")
    with pytest.raises(gosched.FFIError, match="both"):
        gosched.dlopen(None, "int abs(int);", blocking=["abs"], critical=["abs"])


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_arguments(where):
    lib = gosched.dlopen(None, "int abs(int); size_t strlen(const char *); int getpid(void);")

    def check():
        for bad, n in (((), 0), ((1, 2), 2)):
            with pytest.raises(
                TypeError, match=rf"abs\(\) takes 1 argument \(int abs\(int\)\), {n} given"
            ):
                lib.abs(*bad)
        with pytest.raises(TypeError, match=r"getpid\(\) takes 0 arguments .*, 1 given"):
            lib.getpid(1)
        with pytest.raises(TypeError, match=r"abs\(\) argument 1 \(int\): "):
            lib.abs("5")
        with pytest.raises(TypeError, match=r"abs\(\) argument 1 \(int\): "):
            lib.abs(None)
        with pytest.raises(OverflowError, match=r"abs\(\) argument 1 \(int\): .*does not fit"):
            lib.abs(2**40)
        with pytest.raises(TypeError, match=r"strlen\(\) argument 1 \(char \*\): .*not str"):
            lib.strlen("text")
        with pytest.raises(TypeError, match=r"abs\(\) takes no keyword arguments"):
            lib.abs(x=1)
        assert lib.abs(-1) == 1

    if where == "inside":
        gosched.run(check)
    else:
        check()


@pytest.mark.parametrize("bad", [lambda a, b: 0, object(), 1, b"x", None, [1], "text", 1.5])
def test_what_is_no_function(bad):
    """Nor a pointer to one: cffi's own conversion of pointers to data would not look."""
    lib = gosched.dlopen(
        None,
        "void qsort(void *base, size_t n, size_t size, int (*f)(const void *, const void *));",
    )
    with pytest.raises(
        TypeError, match=r"qsort\(\) argument 4 \(int\(\*\)\(void \*, void \*\)\): "
    ):
        gosched.run(lib.qsort, bytearray(8), 2, 4, bad)


def test_a_member_that_a_struct_does_not_have():
    lib = gosched.dlopen(None, "struct s { int a; }; int getpid(struct s);")
    with pytest.raises(
        ValueError, match=r"getpid\(\) argument 1 \(struct s\): there is no member 'z'"
    ) as raised:
        lib.getpid({"a": 1, "z": 2})
    assert isinstance(raised.value.__cause__, KeyError)


def test_error_in_a_conversion_is_the_users():
    lib = gosched.dlopen(None, "int abs(int);")

    class Odd:
        def __int__(self):
            raise KeyError("mine")

        __index__ = __int__

    with pytest.raises(KeyError, match="mine"):
        lib.abs(Odd())


def test_what_cannot_be_passed_by_value():
    lib = gosched.dlopen(
        None,
        """
        struct bits { int a : 3; int b : 5; };
        union both { int i; float f; };
        struct opaque;
        int abs(struct bits);
        int labs(union both);
        int llabs(struct opaque *);
        """,
    )
    with pytest.raises(
        gosched.FFIError, match="abs of the process cannot be called: argument 1 .*bit"
    ):
        _ = lib.abs
    with pytest.raises(gosched.FFIError, match="labs .*union"):
        _ = lib.labs
    assert callable(lib.llabs)


def test_packed_struct():
    ffi = cffi.FFI()
    ffi.cdef("struct p { char c; int i; }; int abs(struct p);", packed=True)
    lib = gosched.dlopen(None, ffi)
    with pytest.raises(gosched.FFIError, match="5 bytes aligned to 1 cannot be passed by value"):
        _ = lib.abs


def test_null_function():
    from gosched import _gosched

    lib = gosched.dlopen(None, "int abs(int);")
    core = _gosched._Library("a library", None)
    ffi = gosched.ffi(lib)
    ctype = ffi.typeof("int")
    null = ffi.cast("int(*)(int)", 0)
    args = (
        core,
        "gone",
        "int gone(int)",
        null,
        0,
        ctype,
        "int32",
        (ctype,),
        ("int32",),
        (None,),
        1,
        0,
        None,
        None,
    )
    with pytest.raises(gosched.FFIError, match="the function gone of a library is NULL"):
        _gosched._Function(*args)


def test_use_after_close():
    lib = gosched.dlopen("libm.so.6", "double cos(double); double sin(double);")
    cos = lib.cos
    assert gosched.run(cos, 0.0) == 1.0
    gosched.dlclose(lib)
    gosched.dlclose(lib)
    for use in (
        lambda: cos(0.0),
        lambda: lib.sin,
        lambda: setattr(lib, "x", 1),
        lambda: lib.cos(0.0),
    ):
        with pytest.raises(gosched.FFIError, match=r"libm\.so\.6 was closed"):
            use()
    assert "closed" in repr(lib)


def test_close_while_a_function_runs():
    def main():
        lib = gosched.dlopen(None, "long read(int fd, void *to, unsigned long n);")
        out, into = os.pipe()
        g = gosched.go(lib.read, out, bytearray(1), 1)
        until(lambda: g.state == "syscall")
        with pytest.raises(gosched.FFIError, match="cannot be closed: 1 of its functions"):
            gosched.dlclose(lib)
        os.write(into, b"x")
        assert g.result() == 1
        gosched.dlclose(lib)
        os.close(out)
        os.close(into)

    gosched.run(main)


@pytest.mark.parametrize("call", [gosched.ffi, gosched.dlclose])
def test_not_a_library(call):
    with pytest.raises(TypeError, match=r"lib must be what gosched\.dlopen returned, not int"):
        call(5)


def test_without_cffi(monkeypatch):
    real = builtins.__import__

    def no_cffi(name, *args, **kw):
        if name in ("cffi", "_cffi_backend"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", no_cffi)
    with pytest.raises(gosched.FFIError, match="needs the package cffi"):
        gosched.dlopen(None, "int abs(int);")


def test_errors_leave_nothing_behind():
    lib = gosched.dlopen(None, "int abs(int); int memcmp(const char *, const long *, size_t);")

    def main():
        for _ in range(2000):
            with pytest.raises(TypeError):
                lib.memcmp([b"a"] * 100, ["not a number"], 1)
            with pytest.raises(TypeError):
                lib.abs("x")
        return lib.abs(-1)

    assert gosched.run(main) == 1
    assert threading.active_count() < 50
