"""What the tests of the Python binding share."""

from __future__ import annotations

import faulthandler
import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gosched
import hypothesis
import pytest

# A test that takes long is no failure on a machine that has other things to do.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")

# A test that hangs says where, before ctest ends it.
HANG = 120


@pytest.fixture(autouse=True)
def watch() -> Iterator[None]:
    faulthandler.dump_traceback_later(HANG, exit=False)
    yield
    faulthandler.cancel_dump_traceback_later()
    gc.collect()


LIBC = """
int usleep(unsigned usec);
unsigned sleep(unsigned seconds);
"""


@pytest.fixture(scope="session")
def libc() -> gosched.Library:
    return gosched.dlopen(None, LIBC, blocking=["usleep"])


@pytest.fixture
def hop(libc: gosched.Library) -> Callable[[], Any]:
    """A function that lets others run and, with others about, goes on on another thread: one call
    does that if somebody waits when it begins and nobody when it ends."""

    def hop() -> None:
        before = threading.get_native_id()
        for _ in range(20):
            libc.usleep(20)
            if threading.get_native_id() != before:
                break

    return hop


class Script:
    """A Python program in a process of its own."""

    def __init__(self, source: str, *args: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", textwrap.dedent(source), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )

    def wait_for(self, line: str) -> None:
        assert self.process.stdout
        got = self.process.stdout.readline()
        if got.rstrip("\n") != line:
            out, err = self.process.communicate(timeout=60)
            pytest.fail(f"expected {line!r}, got {got!r} then {out!r}\n{err}")

    def end(self, timeout: float = 60) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"the program did not end within {timeout} s:\n{out}\n{err}")
        return self.process.returncode, out, err


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    started: list[Script] = []

    def start(source: str, *args: str, **env: str) -> Script:
        started.append(Script(source, *args, **env))
        return started[-1]

    yield start
    for s in started:
        if s.process.poll() is None:
            s.process.kill()
        s.process.communicate()


def os_threads() -> int:
    """OS threads of this process, those of the runtime included."""
    return len(os.listdir("/proc/self/task"))


def in_thread(fn: Callable[[], Any]) -> Any:
    """Calls fn on a plain thread; its result or its error."""
    box: dict[str, Any] = {}

    def body() -> None:
        try:
            box["result"] = fn()
        except BaseException as e:
            box["error"] = e

    t = threading.Thread(target=body)
    t.start()
    t.join(60)
    assert not t.is_alive(), "the thread did not end"
    if "error" in box:
        raise box["error"]
    return box["result"]


def until(condition: Callable[[], Any]) -> None:
    """On a green thread: lets others run until condition() is true."""
    for _ in range(60_000):
        if condition():
            return
        gosched.sleep(0.001)
    pytest.fail("it did not come to that within a minute")
