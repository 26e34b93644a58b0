"""How programs end: green threads parked, blocked, computing; errors; finalisation."""

from __future__ import annotations

import pytest

START = "import sys, time, threading, gosched\n"

LEFT_OVER = {
    "parked": "gosched.go(gosched.sleep, 3600)",
    "blocked": "gosched.go(time.sleep, 0.3)",
    "in a foreign call": "gosched.go(gosched.dlopen(None, 'int usleep(int);').usleep, 300000)",
    "not begun": "gosched.go(int)",
}


@pytest.mark.parametrize("what", LEFT_OVER)
@pytest.mark.parametrize("how", ["return 0", "sys.exit(0)"])
def test_left_over(script, what, how):
    s = script(
        START
        + f"""
def main():
    for _ in range(3):
        {LEFT_OVER[what]}
    {"gosched.sleep(0.05)" if what != "not begun" else "pass"}
    print("ends")
    {how}

gosched.run(main)
"""
    )
    status, out, err = s.end()
    if what == "not begun":
        # On a busy machine main may lose its turn before it ends, and they have begun after all.
        out = out.replace("never\n", "")
    assert (status, out, err) == (0, "ends\n", "")


def test_error_of_main(script):
    s = script(
        START
        + """
def fails():
    raise RuntimeError("at the end")

def main():
    gosched.go(gosched.sleep, 3600)
    gosched.sleep(0.01)
    gosched.go(fails).result()

gosched.run(main)
"""
    )
    status, _out, err = s.end()
    assert status == 1
    for piece in ("in main", "in fails", "RuntimeError: at the end"):
        assert piece in err


def test_exit_status(script):
    s = script(START + "gosched.run(lambda: sys.exit(7))")
    assert s.end()[0] == 7


def test_import_and_nothing_else(script):
    s = script(
        START
        + """
import os
print(len(os.listdir("/proc/self/task")), gosched.stats()["threads"])
"""
    )
    assert s.end() == (0, "1 0\n", "")


def test_destructors_at_the_end_of_the_interpreter(script):
    s = script(
        START
        + """
class Late:
    def __del__(self):
        try:
            ch.try_send(1)
            print("sent", len(ch), gosched.current())
        except BaseException as e:
            print(type(e))

ch = gosched.Chan(5)
late = Late()
keep = gosched.run(lambda: gosched.go(lambda: late))
"""
    )
    status, out, err = s.end()
    assert status == 0, err
    assert out in ("sent 1 None\n", "")


def test_results_and_channels_kept_to_the_end(script):
    s = script(
        START
        + """
def main():
    global g, bad, ch
    ch = gosched.Chan(3)
    ch.send([1])
    g = gosched.go(lambda: [ch])
    bad = gosched.go(lambda: 1 / 0)
    bad.join()

gosched.run(main)
"""
    )
    assert s.end() == (0, "", "")


def test_atexit_may_run_again(script):
    s = script(
        START
        + """
import atexit
atexit.register(lambda: print(gosched.run(lambda: gosched.go(lambda: "again").result())))
gosched.run(lambda: None)
"""
    )
    assert s.end() == (0, "again\n", "")


def test_stack_overflow_in_c_is_reported(script):
    """sys.setrecursionlimit can be set beyond what any stack can hold: then the report names it."""
    s = script(
        START
        + """
import functools
sys.setrecursionlimit(10**6)

class Deep:
    def __getattr__(self, name):
        return getattr(Deep(), name + "")

def deep(n):
    return sorted([0], key=lambda x: deep(n + 1))

def main():
    try:
        gosched.go(deep, 0).result()
    except RecursionError:
        print("RecursionError")

gosched.run(main)
"""
    )
    status, out, err = s.end()
    assert out == "RecursionError\n" or (status != 0 and "stack" in err)
