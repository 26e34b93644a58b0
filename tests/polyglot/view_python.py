"""One dump and one trace of three languages, in a Python that hosts Lua and Tcl."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path

import gosched

LUA = """
local gosched = require "gosched"
local never = gosched.chan()
local function lua_waits_here() never:recv() end
gosched.go(function() lua_waits_here() end)
local function lua_computes_here()
  local go = gosched.shared("lua may go", 1)
  while #go == 0 do for i = 1, 1000000 do end end
end
if ... == "busy" then lua_computes_here() end
gosched.shared("lua is there", 1):send("yes")
local function main_of_lua() gosched.shared("lua may go", 1):recv() end
main_of_lua()
return "done"
"""
TCL = """
set never [gosched::chan new]
proc tcl_waits_here {ch} {$ch recv}
proc tcl_waits {ch} {tcl_waits_here $ch}
set green [gosched::go tcl_waits $never]
proc tcl_computes_here {} {while 1 {incr i}}
if {[lindex $argv 0] eq "busy"} {after 1 tcl_computes_here}
[gosched::shared {tcl is there} 1] send yes
proc main_of_tcl {} {[gosched::shared {tcl may go} 1] recv}
main_of_tcl
"""
LINES = {
    "python": "in python_waits_here",
    "lua": "lua_waits_here",
    "tcl": "::tcl_waits_here line 1: $ch recv",
    "lua main": "main_of_lua",
    "tcl main": "main_of_tcl",
}


def python_waits_here(chan: gosched.Chan[int]) -> None:
    for _ in chan:
        pass


def until(text_of: object, *lines: str) -> str:
    """A language that is busy is told so: then it is asked again, for as long as it takes."""
    end = time.monotonic() + 60
    while True:
        text = text_of()  # type: ignore[operator]
        missing = [line for line in lines if line not in text]
        if not missing:
            return str(text)
        assert time.monotonic() < end, f"{missing} not in:\n{text}"


def dump() -> str:
    with tempfile.TemporaryFile("w+") as f:
        gosched.dump(f)
        f.seek(0)
        return f.read()


def started(busy: str = "") -> list[gosched.Guest]:
    guests = [
        gosched.embed("lua", LUA, args=[busy], name="view.lua"),
        gosched.embed("tcl", TCL, args=[busy], name="view.tcl"),
    ]
    for language in ("lua", "tcl"):
        if not busy:
            there = gosched.shared(f"{language} is there", 1)
            while len(there) == 0:
                for g in guests:
                    assert not g.done(), g.exception()
                gosched.sleep(0.001)
            assert there.recv() == "yes"
    return guests


def one_dump() -> None:
    never: gosched.Chan[int] = gosched.Chan()
    green = gosched.go(python_waits_here, never)
    guests = started()
    heads = ["green threads in python:", "green threads in lua:", "green threads in tcl:"]
    text = until(dump, *heads, *LINES.values())

    # Each language's own name of its green threads, in the list of all.
    for name in ('"python_waits_here"', '"view.lua:5"'):
        assert name in text, text
    for guest, language in zip(guests, ("lua", "tcl"), strict=True):
        gosched.shared(f"{language} may go", 1).send(1)
        guest.result(60)
    never.close()
    green.join()


def those_that_compute() -> None:
    """What runs right now is asked at its next safe point."""
    guests = started("busy")
    until(dump, "in local 'lua_computes_here'", "tcl_computes_here")
    go = gosched.shared("lua may go", 1)  # kept, so that the channel is, too
    go.send(1)  # a Lua that computes cannot be cancelled
    guests[1].cancel()
    assert guests[0].result(60) == "done"


def by_c() -> None:
    """From C, in a foreign call: Python is asked as the others are."""
    lib = gosched.dlopen("libgosched.so.0", "void gs_dump(int fd);")
    never: gosched.Chan[int] = gosched.Chan()
    green = gosched.go(python_waits_here, never)
    guests = started()

    def text_of() -> str:
        with tempfile.TemporaryFile("w+") as f:
            lib.gs_dump(f.fileno())
            f.seek(0)
            return f.read()

    until(text_of, *LINES.values())
    for guest in guests:
        guest.cancel()
    green.cancel()


def by_sigquit() -> None:
    guests = started()
    with tempfile.TemporaryFile("w+") as f:
        saved = os.dup(2)
        os.dup2(f.fileno(), 2)

        def text_of() -> str:
            os.kill(os.getpid(), signal.SIGQUIT)
            gosched.sleep(0.2)
            f.seek(0)
            return f.read()

        try:
            until(text_of, "in by_sigquit", LINES["lua"], LINES["tcl"])
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    for guest in guests:
        guest.cancel()


def one_trace() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "trace.json"
        never: gosched.Chan[int] = gosched.Chan()
        with gosched.trace(path):
            green = gosched.go(python_waits_here, never)
            guests = started()
            until(dump, LINES["python"], LINES["lua"], LINES["tcl"])  # all of them wait now
            for guest, language in zip(guests, ("lua", "tcl"), strict=True):
                gosched.shared(f"{language} may go", 1).send(1)
                guest.result(60)
            never.close()
            green.join()
        events = json.loads(path.read_text())["traceEvents"]
    tracks: dict[int, str] = {}
    for pid in (2, 4):  # the scheduler's green threads, and Tcl's own
        tracks[pid] = "\n".join(
            e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == pid
        )
    for name in ("python_waits_here", "view.lua:5", "main", "view.tcl"):
        assert name in tracks[2], f"no {name} among:\n{tracks[2]}"
    assert "green 2 tcl_waits" in tracks[4], tracks[4]
    waits = [e for e in events if e["pid"] == 4 and e.get("cat") == "track-wait"]
    assert any(e["name"] == "channel recv" for e in waits), waits


os.environ["GOSCHED_DUMP_WAIT_MS"] = "20000"
os.environ["GOSCHED_DUMP_ON_SIGQUIT"] = "1"
for case in (one_dump, those_that_compute, by_c, by_sigquit, one_trace):
    gosched.run(case)
    print(case.__name__, flush=True)
print("good")
