"""gosched.patch as such: what it accepts, what it replaces, that all of it is put back."""

from __future__ import annotations

import select
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
import types

import gosched
import pytest
from conftest import until

CLASSES = (
    socket.socket,
    ssl.SSLSocket,
    selectors.PollSelector,
    selectors.SelectSelector,
    selectors.EpollSelector,
)
NAMES = (
    (time, "sleep"),
    (select, "select"),
    (select, "poll"),
    (select, "epoll"),
    (socket, "gethostbyname"),
)


def state():
    return [dict(vars(cls)) for cls in CLASSES] + [getattr(*name) for name in NAMES]


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = state()
    yield
    gosched.unpatch()
    assert state() == before


def test_it_is_a_context_manager():
    before = state()
    with gosched.patch() as done:
        assert done.subjects == ("socket", "ssl", "select", "time")
        assert repr(done) == "<gosched.Patch of socket, ssl, select, time>"
        assert "recv" in vars(socket.socket)
        assert time.sleep is not before[-5]
    assert state() == before
    assert repr(done) == "<gosched.Patch of nothing>"
    done.undo()


@pytest.mark.parametrize("one", ["socket", "ssl", "select", "time"])
def test_one_subject(one):
    others = {name: False for name in ("socket", "ssl", "select", "time") if name != one}
    before = state()
    with gosched.patch(**others) as done:
        assert done.subjects == (one,)
        changed = [new != old for new, old in zip(state(), before, strict=True)]
        assert (
            changed
            == {
                "socket": [True] + [False] * 8 + [True],
                "ssl": [False, True] + [False] * 8,
                "select": [False, False, True, True, True, False, True, True, True, False],
                "time": [False] * 5 + [True] + [False] * 4,
            }[one]
        )


def test_calls_add_up():
    first = gosched.patch(select=False, ssl=False, time=False)
    second = gosched.patch()
    assert (first.subjects, second.subjects) == (("socket",), ("ssl", "select", "time"))
    assert gosched.patch().subjects == ()
    first.undo()
    assert "recv" not in vars(socket.socket)
    assert gosched.patch().subjects == ("socket",)
    gosched.unpatch()
    gosched.unpatch()
    second.undo()


def test_what_was_imported_by_name():
    module = types.ModuleType("somebody")
    module.nap, module.sel = time.sleep, select.select
    sys.modules["somebody"] = module
    try:
        old = time.sleep, select.select
        with gosched.patch():
            assert (module.nap, module.sel) == (time.sleep, select.select)
            assert module.nap is not old[0]
        assert (module.nap, module.sel) == old
    finally:
        del sys.modules["somebody"]


def test_what_somebody_else_replaced_stays(monkeypatch):
    original = socket.socket.close
    with gosched.patch():
        patched = socket.socket.recv
        monkeypatch.setattr(socket.socket, "recv", lambda self, n: patched(self, n))
        theirs = socket.socket.recv
    assert socket.socket.recv is theirs
    a, b = socket.socketpair()
    with a, b:
        b.send(b"x")
        assert a.recv(10) == b"x"
    monkeypatch.undo()
    del socket.socket.recv
    assert socket.socket.close is original


@pytest.mark.parametrize("name", ["socket", "ssl", "select", "time"])
@pytest.mark.parametrize("value", [1, None, "yes", 0.0, socket])
def test_wrong_types(name, value):
    with pytest.raises(TypeError, match=f"patch: {name} must be True or False, not "):
        gosched.patch(**{name: value})


def test_wrong_names():
    with pytest.raises(TypeError, match="unexpected keyword argument 'sockets'"):
        gosched.patch(sockets=True)
    with pytest.raises(TypeError):
        gosched.patch(True)
    with pytest.raises(TypeError):
        gosched.unpatch("socket")


def test_names_and_documentation_stay():
    methods = {name: getattr(socket.socket, name) for name in ("recv", "connect", "sendall")}
    sleep = time.sleep
    with gosched.patch():
        for name, method in methods.items():
            new = getattr(socket.socket, name)
            assert (new.__name__, new.__doc__) == (name, method.__doc__)
        assert (time.sleep.__name__, time.sleep.__doc__) == ("sleep", sleep.__doc__)


def test_patch_and_unpatch_while_green_threads_wait():
    """What waits goes on as it began."""

    def main():
        pairs = [socket.socketpair() for _ in range(4)]
        patch = gosched.patch()
        greens = [gosched.go(a.recv, 10) for a, _ in pairs]
        until(lambda: all(g.state == "waiting" for g in greens))
        patch.undo()
        for _, b in pairs[:2]:
            b.send(b"x")
        assert [g.result(60) for g in greens[:2]] == [b"x", b"x"]
        with gosched.patch():
            for _, b in pairs[2:]:
                b.send(b"y")
            assert [g.result(60) for g in greens[2:]] == [b"y", b"y"]
        for pair in pairs:
            for each in pair:
                each.close()

    gosched.run(main)


def test_from_several_threads_at_once():
    def body():
        for _ in range(50):
            gosched.patch().undo()

    threads = [threading.Thread(target=body) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# ---- time.sleep ----


def test_sleep_holds_no_thread():
    with gosched.patch():

        def main():
            greens = [gosched.go(time.sleep, 600) for _ in range(500)]
            until(lambda: all(g.state == "waiting" for g in greens))
            until(lambda: gosched.stats()["threads"] - gosched.stats()["threads_idle"] < 20)
            for g in greens:
                g.cancel()
            until(lambda: all(g.done() for g in greens))
            assert all(isinstance(g.exception(), gosched.Cancelled) for g in greens)
            with pytest.raises(TimeoutError), gosched.timeout(0.01):
                time.sleep(600)
            began = time.monotonic()
            time.sleep(0.02)
            assert time.monotonic() - began >= 0.02
            time.sleep(0)

        gosched.run(main)


@pytest.mark.parametrize("value", [-1, -0.5, "1", None, 1j, float("nan"), 10**30])
def test_sleep_refuses_what_it_always_refuses(value):
    with pytest.raises(Exception) as expected:
        time.sleep(value)

    def main():
        with pytest.raises(type(expected.value)) as got:
            time.sleep(value)
        assert str(got.value) == str(expected.value)

    with gosched.patch():
        gosched.run(main)
        with pytest.raises(type(expected.value)):
            time.sleep(value)


def test_sleep_on_an_ordinary_thread():
    with gosched.patch():
        time.sleep(0.001)

        def main():
            thread = threading.Thread(target=time.sleep, args=(0.01,))
            thread.start()
            thread.join()

        gosched.run(main)


# ---- python -m gosched --patch ----


def test_command_line(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import gosched, socket, sys, time\n"
        "print(sys.argv[1:], gosched.patch().subjects, 'recv' in vars(socket.socket))\n"
        "greens = [gosched.go(time.sleep, 600) for _ in range(100)]\n"
        "while not all(g.state == 'waiting' for g in greens): gosched.sleep(0.001)\n"
        "print(gosched.stats()['threads'] < 20)\n"
    )
    for flags, says in ((["--patch"], "['a'] () True\nTrue\n"),):
        done = subprocess.run(
            [sys.executable, "-m", "gosched", *flags, program, "a"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, says, "")
