"""Python beside Lua and Tcl in one process, over shared channels.

The other interpreters run on plain threads of this process, by guests.c.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import gosched
import pytest

HERE = Path(__file__).parent
guests = ctypes.CDLL(os.environ["GS_TEST_GUESTS"], mode=ctypes.RTLD_GLOBAL)


class Guest:
    """A program of another language, on a thread of its own."""

    def __init__(self, language: str, program: str) -> None:
        self.error = ctypes.create_string_buffer(4096)
        self.run = getattr(guests, f"run_{language}")
        self.program = program.encode()
        self.thread = threading.Thread(target=self._body)
        self.thread.start()

    def _body(self) -> None:
        self.run(self.program, self.error, ctypes.c_size_t(4096))

    def join(self) -> None:
        self.thread.join()
        assert self.error.value.decode() == ""


def file(name: str) -> str:
    return (HERE / name).read_text()


VALUES = [
    ("text", "hello"),
    ("text", "hä\0€\U0001f600"),
    ("text", "x" * 10000),
    ("int", 2**63 - 1),
    ("int", -(2**63)),
    ("double", 1.5),
    ("double", float("-inf")),
    ("bool", True),
    ("bool", False),
    ("bytes", b"\xff\0\x80"),
    ("bytes", b""),
    ("null", None),
    ("list", ["a", "b", ""]),
    ("list", []),
    ("dict", {"k": "v", "": "e"}),
    ("dict", {}),
    ("list int", [1, 2, 3]),
    ("dict {list double}", {"a": [1.5, -2.0], "b": []}),
]


@pytest.mark.parametrize("language", ["lua", "tcl"])
def test_values_backpressure_select_and_close(language: str) -> None:
    def main() -> None:
        out, back = gosched.shared("asked", 2), gosched.shared("answered", 2)
        here: gosched.Chan[int] = gosched.Chan()
        guest = Guest(language, file(f"answer.{language}"))
        for kind, value in VALUES:
            out.send(kind)
            out.send(value)
            got = back.recv()
            assert type(got) is type(value)
            assert got == value
        out.send("count")

        def feed() -> None:
            for i in range(3000):
                out.send(i)
            out.close()

        gosched.go(feed)
        gosched.go(lambda: [here.send(-1) for _ in range(50)])
        got_here, got_back = [], []
        while True:
            try:
                i, v = gosched.select(here.recv_case(), back.recv_case())
            except gosched.Closed:
                break
            (got_back if i else got_here).append(v)
        assert got_back == list(range(3000))
        assert got_here == [-1] * 50
        with pytest.raises(gosched.Closed):
            out.send(1)
        guest.join()

    gosched.run(main)


@pytest.mark.parametrize("language", ["lua", "tcl"])
def test_unbuffered(language: str) -> None:
    """Each side waits for the other, all the time."""
    programs = {
        "lua": """
            local gosched = require "gosched"
            gosched.run(function()
              local ping, pong = gosched.shared("ping", 0), gosched.shared("pong", 0)
              for v in ping:iter() do pong:send(v + 1) end
              pong:close()
            end)""",
        "tcl": """
            package require gosched
            set ping [gosched::shared ping 0]
            set pong [gosched::shared pong 0]
            while {[$ping recv v]} {$pong send [incr v] -as int}
            $pong close""",
    }

    def main() -> None:
        ping, pong = gosched.shared("ping", 0), gosched.shared("pong", 0)
        guest = Guest(language, programs[language])
        for i in range(300):
            ping.send(i)
            assert pong.recv() == i + 1
        ping.close()
        assert list(pong) == []
        guest.join()

    gosched.run(main)


@pytest.mark.parametrize("language", ["lua", "tcl"])
def test_what_the_guest_refuses_and_waits_for(language: str) -> None:
    programs = {
        "lua": """
            local gosched = require "gosched"
            gosched.run(function()
              local ch = gosched.shared("refused", 1)
              local ok, why = pcall(ch.send, ch, {1, {x = print}})
              ch:send(why)
              local _, got, what = ch:send(1, 0.01)
              ch:send("full")
              ch:send(select(2, pcall(gosched.shared, "refused", 7)))
            end)""",
        "tcl": """
            package require gosched
            set ch [gosched::shared refused 1]
            catch {$ch send {1 {x print}} -as {list int}} why
            $ch send $why
            catch {$ch send 1 -timeout 10} why
            $ch send full
            catch {gosched::shared refused 7} why
            $ch send $why""",
    }
    says = {"lua": 'value[2]["x"] is a function', "tcl": 'element 1 is "x print"'}

    def main() -> None:
        ch = gosched.shared("refused", 1)
        guest = Guest(language, programs[language])
        while len(ch) == 0:
            gosched.sleep(0.001)
        gosched.sleep(0.03)  # its second send has no room, and gives up or waits for some
        got = [ch.recv() for _ in range(3)]
        if got[1] in (1, "1"):  # or there was room after all
            got[1:] = [got[2], ch.recv()]
        assert says[language] in got[0]
        assert got[1] == "full"
        assert "capacity of 1; 7 was asked for" in got[2]
        guest.join()

    gosched.run(main)


def test_lua_and_tcl_and_python() -> None:
    """A pipeline: Python feeds, Lua squares, Tcl adds a word, Python reads."""
    lua = """
        local gosched = require "gosched"
        gosched.run(function()
          local from, to = gosched.shared("numbers", 8), gosched.shared("squares", 8)
          for n in from:iter() do to:send {n = n, square = n * n} end
          to:close()
        end)"""
    tcl = """
        package require gosched
        set from [gosched::shared squares 8]
        set to [gosched::shared words 8]
        while {[$from recv v]} {$to send [list [dict get $v n] [dict get $v square]] -as {list int}}
        $to close"""

    def main() -> None:
        numbers, words = gosched.shared("numbers", 8), gosched.shared("words", 8)
        started = [Guest("lua", lua), Guest("tcl", tcl)]

        def feed() -> None:
            for i in range(1000):
                numbers.send(i)
            numbers.close()

        gosched.go(feed)
        assert list(words) == [[i, i * i] for i in range(1000)]
        for g in started:
            g.join()

    gosched.run(main)


def test_two_lua_states_beside_python() -> None:
    def main() -> None:
        ends = [gosched.shared(n, 2) for n in ("asked", "answered")]
        for g in [Guest("lua", file("ask.lua")), Guest("lua", file("answer.lua"))]:
            g.join()
        assert all(c.closed for c in ends)

    gosched.run(main)


def test_each_is_told_of_its_deadlock() -> None:
    """Lua's green threads wait for each other, and Python's for nobody: both get their error."""
    lua = """
        local gosched = require "gosched"
        local ok, why = pcall(gosched.run, function()
          local never = gosched.chan()
          gosched.go(function() never:recv() end)
          never:recv()
        end)
        assert(not ok and tostring(why):find("a deadlock", 1, true), tostring(why))"""
    guests = []

    def main() -> None:
        guests.append(Guest("lua", lua))
        gosched.Chan().recv()

    for _ in range(3):
        with pytest.raises(gosched.Deadlock):
            gosched.run(main)
    for g in guests:
        g.join()


def test_tkinter() -> None:
    """Python's own Tcl interpreter, on a thread beside the green threads."""
    tkinter = pytest.importorskip("tkinter", reason="this Python has no tkinter")

    def tcl() -> None:
        interp = tkinter.Tcl()
        interp.eval("package require gosched")
        interp.eval(file("answer.tcl"))

    def main() -> None:
        out, back = gosched.shared("asked", 2), gosched.shared("answered", 2)
        thread = threading.Thread(target=tcl)
        thread.start()
        for kind, value in VALUES:
            out.send(kind)
            out.send(value)
            assert back.recv() == value
        out.send("count")
        out.close()
        assert list(back) == []
        thread.join()

    gosched.run(main)


def test_outside_of_run() -> None:
    """Lua waits for a Python that has no scheduler running: no deadlock is declared."""
    ch, back = gosched.shared("plain", 1), gosched.shared("plain back", 1)
    guest = Guest(
        "lua",
        """
        local gosched = require "gosched"
        gosched.run(function()
          gosched.shared("plain back", 1):send((gosched.shared("plain", 1):recv()))
        end)""",
    )
    threading.Event().wait(0.3)  # long enough for a deadlock to be found
    ch.try_send("late")
    guest.join()
    assert back.try_recv() == "late"
