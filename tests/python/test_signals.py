"""Ctrl-C and other signals, in programs of their own."""

from __future__ import annotations

import signal
import time

import pytest

START = """
import signal, sys, time, gosched
signal.signal(signal.SIGINT, signal.default_int_handler)
"""

PARKED = {
    "recv": "gosched.Chan().recv()",
    "recv with a timeout": "gosched.Chan().recv(3600)",
    "send": "gosched.Chan().send(1)",
    "sleep": "gosched.sleep(3600)",
    "join": "gosched.go(gosched.sleep, 3600).join()",
    "iterate": "list(gosched.Chan())",
    "task group": "\n    with gosched.TaskGroup() as tg: tg.go(gosched.sleep, 3600)",
    "foreign call": "gosched.dlopen(None, 'unsigned sleep(unsigned);').sleep(3600)",
    "time.sleep": "time.sleep(3600)",
    "computing": "\n    while True: sum(range(1000))",
}


@pytest.mark.parametrize("what", PARKED)
def test_ctrl_c_ends_run(script, what):
    s = script(
        START
        + f"""
def main():
    for _ in range(20):
        gosched.go(gosched.sleep, 3600)
        gosched.go(gosched.Chan().recv)
    gosched.sleep(0.02)
    print("parked")
    {PARKED[what]}

try:
    gosched.run(main)
except KeyboardInterrupt:
    print("interrupted", gosched.stats()["gs_live"])
"""
    )
    s.wait_for("parked")
    time.sleep(0.2)
    t = time.monotonic()
    s.process.send_signal(signal.SIGINT)
    status, out, err = s.end()
    assert out.split("\n")[0] == "interrupted 0", err
    assert status == 0
    assert time.monotonic() - t < 30


def test_traceback_shows_where(script):
    s = script(
        START
        + """
def waits_here():
    gosched.sleep(1000)

def main():
    print("parked")
    waits_here()

gosched.run(main)
"""
    )
    s.wait_for("parked")
    time.sleep(0.2)
    s.process.send_signal(signal.SIGINT)
    status, _out, err = s.end()
    assert status in (-signal.SIGINT, 130)
    assert "in waits_here" in err
    assert "KeyboardInterrupt" in err


def test_beside_a_hog(script):
    s = script(
        START
        + """
stop = False

def hog():
    while not stop:
        sum(range(100))

def main():
    global stop
    gosched.go(hog)
    print("parked")
    try:
        gosched.Chan().recv()
    finally:
        stop = True

try:
    gosched.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    s.wait_for("parked")
    time.sleep(0.2)
    s.process.send_signal(signal.SIGINT)
    assert s.end()[1] == "interrupted\n"


def test_handler_runs_while_parked_and_the_wait_goes_on(script):
    s = script(
        START
        + """
got = []
signal.signal(signal.SIGUSR1, lambda *a: (got.append(a[0]), print("handled")))

def main():
    ch = gosched.Chan()

    def late():
        while len(got) < 3:
            gosched.sleep(0.01)
        gosched.sleep(0.1)
        ch.send("late")

    gosched.go(late)
    print("parked")
    return ch.recv()

print(gosched.run(main), len(got))
"""
    )
    s.wait_for("parked")
    for _ in range(3):
        s.process.send_signal(signal.SIGUSR1)
        s.wait_for("handled")
    status, out, err = s.end()
    assert out == "late 3\n", err
    assert status == 0


def test_sleep_goes_on_after_a_signal(script):
    s = script(
        START
        + """
signal.signal(signal.SIGUSR1, lambda *a: print("handled"))

def main():
    print("parked")
    t = time.monotonic()
    gosched.sleep(1)
    return time.monotonic() - t

print(1 <= gosched.run(main) < 20)
"""
    )
    s.wait_for("parked")
    time.sleep(0.1)
    s.process.send_signal(signal.SIGUSR1)
    s.wait_for("handled")
    assert s.end()[1] == "True\n"


def test_caught_and_gone_on(script):
    s = script(
        START
        + """
def main():
    for _ in range(2):
        print("parked")
        try:
            gosched.sleep(3600)
        except KeyboardInterrupt:
            pass
    return gosched.go(lambda: "still works").result()

print(gosched.run(main))
"""
    )
    for _ in range(2):
        s.wait_for("parked")
        time.sleep(0.2)
        s.process.send_signal(signal.SIGINT)
    assert s.end()[1] == "still works\n"


def test_second_ctrl_c_leaves_a_blocked_call_behind(script):
    s = script(
        START
        + """
def main():
    gosched.go(time.sleep, 3600)
    gosched.go(gosched.dlopen(None, "unsigned sleep(unsigned);").sleep, 3600)
    gosched.sleep(0.05)
    print("parked")
    gosched.sleep(3600)

try:
    gosched.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    s.wait_for("parked")
    time.sleep(0.1)
    s.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert s.process.poll() is None, "run did not wait for the blocked calls"
    s.process.send_signal(signal.SIGINT)
    status, out, err = s.end()
    assert out == "interrupted\n", err
    assert status == 0


def test_many_signals(script):
    s = script(
        START
        + """
import os, threading
count = 0

def handler(*args):
    global count
    count += 1

signal.signal(signal.SIGUSR1, handler)
signal.setitimer(signal.ITIMER_REAL, 0)

def main():
    ch = gosched.Chan()

    def feed():
        for i in range(300):
            ch.send(i)
            if i % 3 == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
            if i % 50 == 0:
                gosched.sleep(0.002)
        ch.close()

    gosched.go(feed)
    return list(ch) == list(range(300))

print(gosched.run(main), count > 0)
"""
    )
    status, out, err = s.end()
    assert out == "True True\n", err
    assert status == 0
