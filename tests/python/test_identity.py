"""A green thread is one thread to code that knows only threads, wherever it runs."""

from __future__ import annotations

import contextvars
import decimal
import logging
import reprlib
import threading
import time

import gosched
import pytest
from conftest import HANG, in_thread


def wander(hop, probe, n=20):
    """What probe says on a green thread after each of n hops, and of more until one was a move;
    and on which threads."""
    seen, threads = [], set()

    done = []

    def body():
        deadline = time.monotonic() + HANG / 2
        while len(seen) < n or (len(threads) < 2 and time.monotonic() < deadline):
            seen.append(probe())
            threads.add(threading.get_native_id())
            hop()

    def others_hop():
        while not done:
            hop()

    def main():
        others = [gosched.go(others_hop) for _ in range(4)]
        try:
            gosched.go(body).join()
        finally:
            done.append(True)
        for g in others:
            g.join()

    gosched.run(main)
    return seen, threads


def test_get_ident(hop):
    seen, threads = wander(hop, threading.get_ident)
    assert len(set(seen)) == 1
    assert len(threads) > 1

    def main():
        idents = set(gosched.map(lambda _: threading.get_ident(), range(50)))
        assert len(idents) == 50
        return threading.get_ident()

    here = threading.get_ident()
    assert gosched.run(main) == here == threading.main_thread().ident
    assert in_thread(threading.get_ident) != here


def test_current_thread(hop):
    def probe():
        thread = threading.current_thread()
        return thread, thread.name, thread.ident

    before = set(threading.enumerate())
    seen, threads = wander(hop, probe)
    assert len({id(t) for t, _, _ in seen}) == 1
    assert len(threads) > 1
    thread, name, ident = seen[0]
    assert "wander.<locals>.body" in name
    assert thread is not threading.main_thread()
    assert not thread.daemon
    assert ident == thread.ident
    assert gosched.run(threading.current_thread) is threading.main_thread()
    assert set(threading.enumerate()) == before  # it was forgotten

    def many():
        list(gosched.map(lambda _: threading.current_thread().name, range(100)))

    gosched.run(many)
    assert set(threading.enumerate()) == before


def test_locals_and_contexts(hop):
    local, variable = threading.local(), contextvars.ContextVar("variable", default=0)

    def body(i):
        local.value = i
        variable.set(i)
        decimal.getcontext().prec = 5 + i
        for _ in range(10):
            hop()
            assert (local.value, variable.get()) == (i, i)
            assert decimal.getcontext().prec == 5 + i
            assert str(decimal.Decimal(1) / 3) == "0." + "3" * (5 + i)

    def main():
        with gosched.TaskGroup() as tg:
            for i in range(8):
                tg.go(body, i)
        assert not hasattr(local, "value")
        assert variable.get() == 0

    gosched.run(main)


@pytest.mark.parametrize("make", [threading.RLock, threading.Condition])
def test_rlock(make, hop):
    lock, state = make(), {"inside": 0, "count": 0}

    def body():
        for _ in range(15):
            with lock:
                state["inside"] += 1
                assert state["inside"] == 1
                with lock:
                    hop()
                gosched.yield_now()
                state["count"] += 1
                state["inside"] -= 1

    def thread():
        for _ in range(15):
            with lock, lock:
                state["inside"] += 1
                assert state["inside"] == 1
                time.sleep(0)
                state["count"] += 1
                state["inside"] -= 1

    def main():
        threads = [threading.Thread(target=thread) for _ in range(2)]
        for t in threads:
            t.start()
        with gosched.TaskGroup() as tg:
            for _ in range(6):
                tg.go(body)
        for t in threads:
            t.join()

    gosched.run(main)
    assert state["count"] == 8 * 15


def test_rlock_has_threadings_manners():
    lock = threading.RLock()
    assert lock.acquire(True, 1)
    assert lock.acquire(blocking=False)
    assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: lock.acquire(timeout=0.01)) is False
    assert in_thread(lambda: lock.acquire(True, 0.01)) is False
    lock.release()
    lock.release()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        lock.release()
    with pytest.raises(ValueError, match="can't specify a timeout"):
        lock.acquire(False, 1)
    with pytest.raises(ValueError, match="non-negative"):
        lock.acquire(timeout=-2)
    with pytest.raises(TypeError):
        lock.acquire(timeout="1")
    with lock as got:
        assert got is True
        assert lock._is_owned()
        assert "locked" in repr(lock)
    assert not lock._is_owned()


def test_condition_wait_keeps_its_rlock(hop):
    condition, order = threading.Condition(), []

    def waits(i):
        with condition, condition:
            condition.wait(30)
            hop()
            order.append(i)

    def main():
        with gosched.TaskGroup() as tg:
            for i in range(4):
                tg.go(waits, i)
            gosched.sleep(0.01)
            while len(order) < 4:
                with condition:
                    condition.notify()
                gosched.sleep(0.001)

    gosched.run(main)
    assert sorted(order) == [0, 1, 2, 3]


def test_condition_of_one_that_is_cancelled():
    condition = threading.Condition()

    def body():
        with condition:
            gosched.current().cancel()
            condition.wait(0.01)  # blocks in C: the request waits
            assert condition._is_owned()
        gosched.sleep(0)

    def main():
        with pytest.raises(gosched.Cancelled):
            gosched.go(body).result()
        with condition:
            pass

    gosched.run(main)


def test_logging(hop, tmp_path):
    """The handler's lock is held while a formatter parks: nobody gets in."""
    path, inside = tmp_path / "log", []

    class Formatter(logging.Formatter):
        def format(self, record):
            inside.append(1)
            assert len(inside) == 1
            hop()
            inside.pop()
            return super().format(record)

    handler = logging.FileHandler(path)
    handler.setFormatter(Formatter("%(thread)d %(message)s"))
    logger = logging.Logger("here")
    logger.addHandler(handler)

    def body(i):
        for k in range(10):
            logger.warning("%d.%d", i, k)

    def main():
        with gosched.TaskGroup() as tg:
            for i in range(5):
                tg.go(body, i)

    gosched.run(main)
    handler.close()
    lines = [line.split() for line in path.read_text().splitlines()]
    assert len(lines) == 50
    for i in range(5):
        assert len({ident for ident, text in lines if text.startswith(f"{i}.")}) == 1


def test_recursive_repr(hop):
    class Thing:
        @reprlib.recursive_repr()
        def __repr__(self):
            hop()
            return "<thing>"

    thing = Thing()

    def main():
        return set(gosched.map(lambda _: repr(thing), range(8)))

    assert gosched.run(main) == {"<thing>"}


def test_imports_exclude_each_other(tmp_path, monkeypatch, hop):
    """A module that parks while it is imported, by many at once, is executed once."""
    (tmp_path / "parks_in_import.py").write_text(
        "import gosched\ncount = globals().get('count', 0) + 1\n"
        "for _ in range(5): gosched.sleep(0.001)\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def body(_):
        hop()
        import parks_in_import  # type: ignore[import-not-found]

        assert parks_in_import.done
        return parks_in_import.count

    def main():
        return list(gosched.map(body, range(10)))

    assert gosched.run(main) == [1] * 10
