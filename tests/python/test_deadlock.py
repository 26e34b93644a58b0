"""Deadlock: when it is raised, what it says, and what keeps it from being raised."""

from __future__ import annotations

import signal
import threading
import time

import gosched
import pytest
from conftest import in_thread
from gosched import _stacks


def waits_for_a_value(channel):
    channel.recv()


def test_every_stack_is_told():
    ch, other = gosched.Chan(), gosched.Chan()

    def main():
        g = gosched.go(waits_for_a_value, ch)
        g.name = "first"
        gosched.go(waits_for_a_value, other)
        g.join()

    with pytest.raises(gosched.Deadlock) as caught:
        gosched.run(main)
    text = str(caught.value)
    assert text.startswith("GreenThread.join: all green threads are asleep")
    assert "in main\n    g.join()" in text
    assert text.count("in waits_for_a_value\n    channel.recv()") == 1  # both are told together
    assert "'first'" in text
    assert "_stacks.py" not in text
    assert gosched.run(lambda: gosched.go(lambda: 7).result()) == 7


def locks_twice():
    m = gosched.Mutex()
    m.acquire()
    m.acquire()


def waits_in_select():
    gosched.select(gosched.Chan().recv_case(), gosched.Chan().send_case(1))


def waits_in_a_group():
    with gosched.TaskGroup() as tg:
        tg.go(waits_for_a_value, gosched.Chan())


def waits_for_a_condition():
    c = gosched.Condition()
    with c:
        c.wait()


def waits_for_a_group():
    wg = gosched.WaitGroup()
    wg.add(1)
    wg.wait()


def acquires():
    gosched.Semaphore(0).acquire()


@pytest.mark.parametrize(
    "wait",
    [
        locks_twice,
        waits_in_select,
        waits_in_a_group,
        waits_for_a_condition,
        waits_for_a_group,
        acquires,
        lambda: gosched.Event().wait(),
        lambda: gosched.Chan().send(1),
        lambda: [*gosched.Chan()],
        lambda: gosched.go(waits_for_a_value, gosched.Chan()).result(),
        lambda: gosched.go(acquires).join(),
    ],
)
def test_whatever_main_waits_in(wait):
    with pytest.raises(gosched.Deadlock, match="all green threads are asleep"):
        gosched.run(wait)


def test_main_can_help_itself():
    def main():
        ch = gosched.Chan()
        g = gosched.go(ch.recv)
        for _ in range(3):
            with pytest.raises(gosched.Deadlock):
                g.join()
        ch.send(5)
        return g.result()

    assert gosched.run(main) == 5


def test_those_with_one_stack_are_told_together():
    def main():
        ch = gosched.Chan()
        for _ in range(1000):
            gosched.go(waits_for_a_value, ch)
        gosched.Event().wait()

    with pytest.raises(gosched.Deadlock) as caught:
        gosched.run(main)
    text = str(caught.value)
    assert text.count("waits_for_a_value\n") == 1
    assert " and 995 more, waiting:" in text


def test_one_that_will_not_end():
    """At the end of run it is cancelled, and waits on for nobody."""

    def stubborn():
        with gosched.shield():
            gosched.Event().wait()

    def main():
        gosched.go(stubborn)
        gosched.sleep(0)

    with pytest.raises(gosched.Deadlock, match="in stubborn"):
        gosched.run(main)
    assert gosched.run(lambda: 3) == 3  # without it


def test_another_thread_wakes():
    def main():
        e = gosched.Event()
        t = threading.Timer(0.5, e.set)
        t.start()
        e.wait()
        t.join()
        return "woken"

    assert gosched.run(main) == "woken"


def test_another_thread_ends_without_waking():
    def main():
        t = threading.Thread(target=time.sleep, args=(0.5,))
        t.start()
        with pytest.raises(gosched.Deadlock):
            gosched.Event().wait()
        assert not t.is_alive()

    gosched.run(main)


def test_blocking_code_is_not_asleep():
    def main():
        ch = gosched.Chan()

        def later():
            time.sleep(0.5)
            ch.send(1)

        gosched.go(later)
        return ch.recv()

    assert gosched.run(main) == 1


def test_a_timeout_is_none():
    def main():
        with pytest.raises(TimeoutError):
            gosched.Chan().recv(timeout=0.3)
        with pytest.raises(TimeoutError), gosched.timeout(0.3):
            gosched.Chan().recv()

    gosched.run(main)


def test_who_may_wake():
    assert _stacks.outside() in (_stacks.NOBODY, _stacks.PERHAPS)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        assert _stacks.outside() == _stacks.SOMEBODY
    finally:
        signal.signal(signal.SIGUSR1, before)
    with gosched.callback("void(void)", lambda: None):
        assert _stacks.outside() == _stacks.SOMEBODY
    assert in_thread(_stacks.outside) == _stacks.PERHAPS  # the main thread is another one there


def test_a_signal_handler_wakes(script):
    s = script(
        """
        import os, signal, gosched

        def main():
            e = gosched.Event()
            signal.signal(signal.SIGUSR1, lambda *_: e.set())
            print("ready")
            e.wait()
            print("woken")

        gosched.run(main)
        """
    )
    s.wait_for("ready")
    time.sleep(0.5)
    s.process.send_signal(signal.SIGUSR1)
    assert s.end() == (0, "woken\n", "")


def test_a_program_that_does_not_look(script):
    s = script(
        """
        import gosched

        def child(ch):
            ch.recv()

        def main():
            ch = gosched.Chan()
            gosched.go(child, ch).join()

        gosched.run(main)
        """
    )
    status, out, err = s.end()
    assert (status, out) == (1, "")
    assert err.count("Traceback") == 1
    assert "gosched.Deadlock: GreenThread.join: all green threads are asleep" in err
    assert "in child" in err


def test_dump_has_the_stacks_of_python(tmp_path):
    path = tmp_path / "dump"

    def main():
        ch = gosched.Chan()
        gosched.go(waits_for_a_value, ch)
        gosched.sleep(0)
        with path.open("w") as f:
            gosched.dump(f)
        ch.send(1)

    gosched.run(main)
    text = path.read_text()
    assert "in waits_for_a_value\n    channel.recv()" in text
    assert "in main\n    gosched.dump(f)" in text
