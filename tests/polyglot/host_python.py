"""Python hosts Lua and Tcl.  usage: host_python.py LIBRARY, which is that of meeting.c"""

import sys
import time

import gosched

library = sys.argv[1]
lib = gosched.dlopen(library, "int meet(int);")

LUA = """
local gosched, path, n = require "gosched", ...
gosched.ffi.cdef "int meet(int n);"
local g = gosched.go(gosched.ffi.load(path).meet, tonumber(n))
return g:join()
"""
TCL = """
lassign $argv path n
gosched::cdef {int meet(int n);}
set lib [gosched::load $path]
set g [gosched::go ${lib}::meet $n]
gosched::join $g
"""


def all_at_once() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gosched.yield_now()
            ticks += 1

    ticker = gosched.go(tick)
    args = [library, "4"]
    guests = [gosched.embed("lua", LUA, args=args), gosched.embed("lua", LUA, args=args)]
    guests.append(gosched.embed("tcl", TCL, args=args))
    assert lib.meet(4) == 4
    assert [g.result(60) for g in guests] == [4, 4, "4"]
    assert ticks > 0
    ticker.cancel()


def values() -> None:
    """A result comes as what it is, by the rules of shared channels."""
    lua = r"""
        local gosched = require "gosched"
        local raw = gosched.bytes "\xff"
        return {n = 1, list = {1, 2.5, "h\u{e4}"}, yes = true, raw = raw, none = {}}
    """
    expected = {"n": 1, "list": [1, 2.5, "hä"], "yes": True, "raw": b"\xff", "none": []}
    for language, source, value in (
        ("lua", lua, expected),
        ("lua", "return 2^53", 2.0**53),
        ("lua", "return ''", ""),
        ("lua", "return require 'gosched'.null", None),
        ("lua", "return '\\xff'", b"\xff"),
        ("tcl", "expr 7", "7"),
        ("tcl", "gosched::result {a 1 b 2} -as {dict int}; set unused 3", {"a": 1, "b": 2}),
        ("tcl", "gosched::result 1; gosched::result {1 2.5} -as {list double}", [1.0, 2.5]),
    ):
        guest = gosched.embed(language, source)
        got = guest.result(60)
        assert got == value and type(got) is type(value), (source, got)
        assert guest.result() == value
        if isinstance(value, dict):
            assert [type(v) for _, v in sorted(got.items())] == [
                type(v) for _, v in sorted(value.items())
            ]
    # What cannot be carried is its text.
    assert gosched.embed("lua", "return print").result(60).startswith("function: ")
    # Without a good end there is no result, and what was refused says why.
    bad = gosched.embed("tcl", "gosched::result 1; gosched::result x -as int").exception(60)
    assert isinstance(bad, gosched.GuestError) and 'is "x", expected an integer' in bad.message


def errors() -> None:
    for language, source, message, line in (
        ("lua", "local function f() error 'bad' end f()", "x.src:1: bad", "in local 'f'"),
        ("tcl", "proc f {} {error bad}; f", "bad", '(procedure "f" line 1)'),
    ):
        guest = gosched.embed(language, source, name="x.src")
        try:
            guest.result(60)
        except gosched.GuestError as error:
            assert error.message == message and line in error.traceback, error
            assert message in str(error) and line in str(error) and "x.src" in str(error)
            assert (error.language, error.name, error.status) == (language, "x.src", None)
        else:
            raise AssertionError(language)
        assert guest.state == "failed" and guest.done()
        assert isinstance(guest.exception(), gosched.GuestError)


def ends() -> None:
    assert gosched.embed("lua", "return nil").result(60) is None
    assert gosched.embed("tcl", "exit").result(60) is None
    exited = gosched.embed("lua", "os.exit(3)")
    error = exited.exception(60)
    assert isinstance(error, gosched.GuestError) and error.status == 3, error
    assert exited.state == "exited"
    for source in ("gosched.sleep(1000)", "gosched.run(function() gosched.sleep(1000) end)"):
        guest = gosched.embed("lua", "gosched = require 'gosched' " + source)
        try:
            guest.join(0.01)
        except TimeoutError:
            pass
        else:
            raise AssertionError(guest)
        assert guest.state == "running"
        guest.cancel()
        assert isinstance(guest.exception(60), gosched.Cancelled)
        assert guest.state == "cancelled"


def refused(kind: type, text: str, *args: object, **kw: object) -> None:
    try:
        gosched.embed(*args, **kw)  # type: ignore[arg-type]
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError((args, kw))


def refusals() -> None:
    refused(gosched.Error, "has a Python already", "python", "1")
    refused(gosched.Error, "no gosched-guest-cobol.so", "cobol", "x")
    refused(ValueError, 'language is "Lua"', "Lua", "x")
    refused(ValueError, "zero", "lua", "x", args=["a\0b"])
    refused(TypeError, "language must be str, not int", 1, "x")
    refused(TypeError, "args must be several str", "lua", "x", args="abc")
    refused(TypeError, "args[1] must be str, not int", "lua", "x", args=["a", 1])


def from_a_thread() -> None:
    """Whoever waits need not be a green thread."""
    import threading

    guest = gosched.embed("lua", "require 'gosched'.sleep(0.02) return 1")
    results = []
    thread = threading.Thread(target=lambda: results.append(guest.result(60)))
    thread.start()
    gosched.go(thread.join).join()
    assert results == [1]


def left_behind() -> list[gosched.Guest]:
    return [
        gosched.embed("lua", "require 'gosched'.sleep(1000)"),
        gosched.embed("tcl", "vwait forever"),
        gosched.embed("tcl", "while 1 {}"),
    ]


for case in (all_at_once, values, errors, ends, refusals, from_a_thread):
    began = time.monotonic()
    gosched.run(case)
    print(f"{case.__name__} {time.monotonic() - began:.2f} s", flush=True)
for _ in range(5):
    assert [g.state for g in gosched.run(left_behind)] == ["cancelled"] * 3
refused(gosched.Error, "inside gosched.run", "lua", "return 1")
print("good")
