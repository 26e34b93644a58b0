"""What CPython's own tests, run on green threads (tests/compat), found to be broken: each again."""

from __future__ import annotations

import _imp
import _thread
import gc
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref

import gosched
import pytest
from conftest import in_thread, until


def moving(fn, hop):
    """fn() on a green thread beside others, so that hop() leads to other threads."""

    done = []

    def others_hop():
        while not done:
            hop()

    def main():
        others = [gosched.go(others_hop) for _ in range(4)]
        try:
            result = gosched.go(fn).result()
        finally:
            done.append(True)
        for g in others:
            g.join()
        return result

    return gosched.run(main)


def test_the_import_lock_moves_along(hop):
    """It belonged to the OS thread: released on another one it raised RuntimeError."""

    def body():
        threads = set()
        for _ in range(30):
            _imp.acquire_lock()
            _imp.acquire_lock()
            threads.add(threading.get_native_id())
            hop()
            assert _imp.lock_held()
            _imp.release_lock()
            hop()
            _imp.release_lock()
        return len(threads)

    assert moving(body, hop) > 1
    assert not _imp.lock_held()
    with pytest.raises(RuntimeError):
        _imp.release_lock()


def test_the_import_lock_excludes(hop):
    inside = []

    def body():
        for _ in range(10):
            _imp.acquire_lock()
            inside.append(1)
            assert len(inside) == 1
            hop()
            inside.pop()
            _imp.release_lock()

    def main():
        with gosched.TaskGroup() as tg:
            for _ in range(5):
                tg.go(body)

    gosched.run(main)


def test_a_finder_that_waits(hop, tmp_path, monkeypatch):
    """Up to 3.11 importlib holds the import lock while it asks the finders."""
    for i in range(5):
        (tmp_path / f"found_{i}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Waits:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.startswith("found_"):
                hop()

    monkeypatch.setattr(sys, "meta_path", [Waits, *sys.meta_path])

    def main():
        with gosched.TaskGroup() as tg:
            for i in range(20):
                tg.go(importlib.import_module, f"found_{i % 5}")

    gosched.run(main)
    assert all(sys.modules.pop(f"found_{i}").x == 1 for i in range(5))


def test_fork_with_the_import_lock(hop):
    def body():
        _imp.acquire_lock()
        hop()
        pid = os.fork()
        if pid == 0:
            held = _imp.lock_held()
            _imp.release_lock()
            import wave  # noqa: F401 - importing works

            os._exit(0 if held and not _imp.lock_held() else 1)
        assert _imp.lock_held()
        _imp.release_lock()
        return os.waitpid(pid, 0)[1]

    assert moving(body, hop) == 0
    assert not _imp.lock_held()


def test_the_lock_of_threads_that_exist_moves_along(hop):
    """threading._active_limbo_lock is older than gosched."""

    class Dies:
        pass

    def body():
        for _ in range(20):
            with threading._active_limbo_lock:
                hop()
        t = threading.Thread(target=int)
        t.start()
        t.join()

    moving(body, hop)
    assert type(threading._active_limbo_lock) is type(threading.RLock())
    assert _thread.RLock is threading._CRLock


def test_locks_of_modules_are_replaced():
    """Of every module that is there; the same lock by the same one; one that is held stays."""
    source = """
        import _thread, sys, types
        a, b = types.ModuleType("a"), types.ModuleType("b")
        a.lock = b.lock = _thread.RLock()
        a.held = held = _thread.RLock()
        held.acquire()

        class Class:
            lock = _thread.RLock()

        class Slotted:
            __slots__ = ("lock", "empty")

        class Instance:
            pass

        def make():
            lock = _thread.RLock()
            return lambda: lock

        class Cached:
            lock = None
            def __init__(self):
                self.lock = _thread.RLock()

        a.Class, instance, slotted, closure, cached = Class, Instance(), Slotted(), make(), Cached()
        Class.lock  # in the cache of the class
        instance.lock = instance.again = slotted.lock = _thread.RLock()
        in_list = [_thread.RLock()]
        in_tuple = (_thread.RLock(),)
        import threading
        condition = threading.Condition()
        sys.modules.update(a=a, b=b)
        import gosched, threading
        assert a.lock is b.lock and type(a.lock) is type(threading.RLock())
        assert a.held is held
        held.release()
        new = type(threading.RLock())
        assert type(a.Class.lock) is type(a.Class().lock) is new
        assert type(instance.lock) is type(slotted.lock) is type(in_list[0]) is new
        assert instance.again is instance.lock
        assert type(closure()) is type(cached.lock) is new
        assert type(condition._lock) is new and condition.acquire.__self__ is condition._lock
        with condition:
            condition.notify_all()
        import functools
        assert functools.RLock is new
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], check=True, timeout=60)


def test_a_lock_that_is_held_through_a_destructor(hop):
    """Something that waits can happen in the middle of whatever holds a lock."""

    class Thing:
        def __del__(self):
            hop()

    def body():
        for _ in range(10):
            with threading._active_limbo_lock:
                thing = Thing()
                thing.me = thing
                del thing
                gc.collect()

    moving(body, hop)


def test_what_shows_a_warning_may_wait(hop, monkeypatch):
    """3.14 holds a lock of the OS thread meanwhile, and who releases it elsewhere dies."""
    shown = []

    class Matches:
        @staticmethod
        def match(text):
            hop()
            return True

    def show(message, *rest, **more):
        threads = {threading.get_native_id()}
        for _ in range(5):
            hop()
            threads.add(threading.get_native_id())
        shown.append(threads)

    monkeypatch.setattr(warnings, "filters", [("always", Matches, UserWarning, None, 0)])
    monkeypatch.setattr(warnings, "showwarning", show)

    def body():
        for i in range(10):
            warnings.warn(f"number {i}", stacklevel=1)

    def main():
        with gosched.TaskGroup() as tg:
            for _ in range(4):
                tg.go(body)

    gosched.run(main)
    moving(body, hop)
    assert len(shown) == 50
    if sys.version_info >= (3, 14):
        assert all(len(threads) == 1 for threads in shown)


def test_rlock_timeouts_have_a_limit():
    lock = threading.RLock()
    assert lock.acquire(timeout=threading.TIMEOUT_MAX)
    for timeout in (threading.TIMEOUT_MAX * 2, 1e100):
        with pytest.raises(OverflowError, match="too large"):
            lock.acquire(timeout=timeout)
    lock.release()


def test_threads_of_green_threads_are_no_daemons():
    """Such a thread would be cut off at the end of the program."""

    def body():
        t = threading.Thread(target=int)
        daemon = t.daemon
        t.start()
        t.join()
        return daemon, threading.Thread(target=int, daemon=True).daemon

    assert gosched.run(lambda: gosched.go(body).result()) == (False, True)


def test_the_thread_of_a_green_thread_can_be_joined():
    def main():
        ch, seen = gosched.Chan(), []

        def body():
            me = threading.current_thread()
            seen.append(me)
            with pytest.raises(RuntimeError, match="cannot join current thread"):
                me.join()
            ch.recv()

        g = gosched.go(body)
        until(lambda: g.state == "waiting")
        (thread,) = seen
        assert "_DummyThread" in repr(thread)
        assert thread.is_alive()
        thread.join(0)
        thread.join(-1)
        assert thread.is_alive()
        in_thread(lambda: thread.join(0.001))
        gosched.go(ch.send, 1)
        thread.join()
        assert g.done()
        assert not thread.is_alive()
        thread.join()

    gosched.run(main)


def test_get_ident_comes_from_thread():
    assert threading.get_ident.__module__ == "_thread"


def test_a_weak_reference_dies_while_a_module_is_imported(hop):
    """importlib takes the import lock in such callbacks."""

    class Thing:
        pass

    def body():
        for _ in range(10):
            thing = Thing()
            ref = weakref.ref(thing, lambda _: hop())
            sys.modules.pop("sndhdr" if "sndhdr" in sys.stdlib_module_names else "wave", None)
            importlib.import_module("wave")
            del thing
            assert ref() is None

    moving(body, hop)


# ---- sqlite3

sqlite = """
    import gosched, threading

    libc = gosched.dlopen(None, "int usleep(unsigned);", blocking=["usleep"])

    def body(use):
        threads = set()
        db = connect()
        for i in range(100_000):
            threads.add(threading.get_native_id())
            db.execute("select 1").fetchall()
            libc.usleep(20)
            if i > 20 and len(threads) > 1:
                break
        db.close()
        return len(threads)

    def keep_busy():
        while not done:
            libc.usleep(20)

    done = []

    def main():
        others = [gosched.go(keep_busy) for _ in range(4)]
        n = gosched.go(body, 1).result()
        done.append(True)
        for g in others:
            g.join()
        return n
"""


@pytest.mark.parametrize("first", ["gosched", "sqlite3"])
@pytest.mark.parametrize(
    "connect",
    [
        "sqlite3.connect(':memory:')",
        "sqlite3.connect(':memory:', check_same_thread=True)",
        "sqlite3.connect(':memory:', 5.0, 0, None, True)",
        "sqlite3.Connection(':memory:')",
        "Mine(':memory:')",
        "sqlite3.connect(':memory:', factory=Mine)",
    ],
)
def test_a_connection_moves_along(connect, first):
    """sqlite3 refused to use it on another thread than the one that opened it."""
    pytest.importorskip("sqlite3")
    source = f"""
import {first}
import sqlite3
{textwrap.dedent(sqlite)}

class Mine(sqlite3.Connection):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)

connect = lambda: {connect}
assert gosched.run(main) > 1
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", source], check=True, timeout=120)


def test_connections_of_threads_are_checked():
    sqlite3 = pytest.importorskip("sqlite3")
    db = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
        in_thread(lambda: db.execute("select 1"))
    with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
        gosched.run(lambda: gosched.go(in_thread, lambda: db.execute("select 1")).result())
    assert gosched.run(lambda: db.execute("select 1").fetchall()) == [(1,)]
    db.close()
    for wrong in ((), (":memory:", "x"), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
        with pytest.raises((TypeError, sqlite3.Error)):
            gosched.run(lambda wrong=wrong: gosched.go(sqlite3.connect, *wrong).result())


@pytest.mark.skipif(not hasattr(_thread, "_set_sentinel"), reason="threading uses it up to 3.12")
def test_the_lock_of_the_end_of_a_thread_is_released_once():
    """The thread state goes on to the next green thread, and must not release it again."""

    def body():
        lock = _thread._set_sentinel()
        lock.acquire()
        return lock

    def main():
        for _ in range(100):
            lock = gosched.go(body).result()
            until(lambda lock=lock: not lock.locked())
            lock.acquire()
            gosched.go(int).join()
            gosched.sleep(0)
            assert lock.locked()

    gosched.run(main)


def test_such_a_lock_and_the_end_of_the_interpreter():
    source = """
        import _thread, gosched
        keep = []
        if hasattr(_thread, "_set_sentinel"):
            gosched.run(lambda: gosched.go(lambda: keep.append(_thread._set_sentinel())).join())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], check=True, timeout=60)
