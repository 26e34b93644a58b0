"""go and GreenThread: results, errors, tracebacks, names, states, contexts."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import time
import traceback
import weakref

import gosched
import pytest
from conftest import in_thread


def test_arguments():
    def f(*args, **kw):
        return args, kw

    def main():
        return [
            gosched.go(f).result(),
            gosched.go(f, 1, 2).result(),
            gosched.go(f, 1, a=2, b=3).result(),
            gosched.go(f, fn=4).result(),
        ]

    assert gosched.run(main) == [
        ((), {}),
        ((1, 2), {}),
        ((1,), {"a": 2, "b": 3}),
        ((), {"fn": 4}),
    ]


@pytest.mark.parametrize("bad", [None, 5, "f"])
def test_not_callable(bad):
    def main():
        with pytest.raises(TypeError, match=r"gosched\.go: fn must be callable, not"):
            gosched.go(bad)

    gosched.run(main)


def test_nothing_to_start():
    with pytest.raises(TypeError, match="missing required argument: 'fn'"):
        gosched.go()


def test_outside_run():
    with pytest.raises(gosched.Error, match=r"inside gosched\.run\(main\)"):
        gosched.go(print)


def test_error_and_traceback():
    def third():
        raise LookupError("lost")

    def second():
        third()

    def first():
        second()

    def main():
        g = gosched.go(first)
        with pytest.raises(LookupError, match="lost") as info:
            g.result()
        return info.value, g.exception() is info.value

    error, same = gosched.run(main)
    names = [f.name for f in traceback.extract_tb(error.__traceback__)]
    assert names[-3:] == ["first", "second", "third"]
    assert same


def test_traceback_does_not_grow():
    def fail():
        raise ValueError("x")

    def main():
        g = gosched.go(fail)
        lengths = []
        for _ in range(5):
            try:
                g.result()
            except ValueError as e:
                lengths.append(len(traceback.extract_tb(e.__traceback__)))
        return lengths

    assert len(set(gosched.run(main))) == 1


def test_join_does_not_raise_the_error():
    def main():
        g = gosched.go(lambda: 1 / 0)
        assert g.join() is None
        assert isinstance(g.exception(), ZeroDivisionError)
        assert gosched.go(lambda: 1).exception() is None

    gosched.run(main)


def test_result_after_run():
    def main():
        return gosched.go(lambda: "kept"), gosched.go(lambda: {}["gone"])

    def main2():
        gs = main()
        for g in gs:
            g.join()
        return gs

    good, bad = gosched.run(main2)
    assert good.done()
    assert good.result() == "kept"
    assert good.result(timeout=0) == "kept"
    with pytest.raises(KeyError):
        bad.result()


def test_timeouts():
    def main():
        g = gosched.go(gosched.sleep, 30)
        t = time.monotonic()
        for call in (g.join, g.result, g.exception):
            with pytest.raises(TimeoutError):
                call(0.02)
            with pytest.raises(TimeoutError):
                call(timeout=0)
        assert time.monotonic() - t < 20
        assert not g.done()
        g.cancel()
        g.join(10)
        assert g.done()

    gosched.run(main)


@pytest.mark.parametrize(
    ("bad", "error"), [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)]
)
def test_bad_timeouts(bad, error):
    def main():
        g = gosched.go(lambda: None)
        with pytest.raises(error, match="timeout"):
            g.join(bad)
        g.join(float("inf"))
        g.join(10**9)

    gosched.run(main)


def test_bad_arguments_of_methods():
    def main():
        g = gosched.go(lambda: None)
        with pytest.raises(TypeError, match="at most 1 argument"):
            g.join(1, 2)
        with pytest.raises(TypeError, match="unexpected keyword argument 'seconds'"):
            g.join(seconds=1)
        with pytest.raises(TypeError, match="multiple values"):
            g.join(1, timeout=1)

    gosched.run(main)


def test_joining_oneself_and_main():
    def main():
        me = gosched.current()
        with pytest.raises(gosched.Error, match="cannot be joined"):
            me.join()

        def child():
            with pytest.raises(gosched.Error, match="cannot wait for itself"):
                gosched.current().join()
            with pytest.raises(gosched.Error, match="main green thread"):
                me.join()
            return True

        assert gosched.go(child).result()

    gosched.run(main)


def test_many_joiners():
    def main():
        go = gosched.Chan()
        g = gosched.go(go.recv)
        joiners = [gosched.go(g.result) for _ in range(50)]
        gosched.sleep(0.01)
        go.send("all")
        return [j.result() for j in joiners]

    assert gosched.run(main) == ["all"] * 50


def test_ten_thousand():
    def main():
        ch = gosched.Chan(100)
        gs = [gosched.go(ch.send, i) for i in range(10_000)]
        total = sum(ch.recv() for _ in range(10_000))
        for g in gs:
            g.join()
        return total

    assert gosched.run(main) == sum(range(10_000))


def test_ten_thousand_parked_at_once():
    def main():
        gate = gosched.Chan()
        gs = [gosched.go(lambda i=i: (list(gate), i)[1]) for i in range(10_000)]
        gosched.sleep(0.05)
        assert gosched.stats()["gs_live"] == 10_001
        gate.close()
        return sum(g.result() for g in gs)

    assert gosched.run(main) == sum(range(10_000))
    assert gosched.stats()["gs_live"] == 0


def test_identity():
    def named():
        g = gosched.current()
        return g, g.id, g.name, g.state

    def main():
        me = gosched.current()
        assert me.name.endswith("main")
        a, b = gosched.go(named), gosched.go(named)
        assert a.id != b.id != me.id
        for g in (a, b):
            same, ident, name, state = g.result()
            assert same is g
            assert ident == g.id > 0
            assert name == g.name == "test_identity.<locals>.named"
            assert state == "running"
        a.name = "renamed"
        assert "renamed" in repr(a)
        assert str(a.id) in repr(a)
        with pytest.raises(TypeError, match="must be str, not int"):
            a.name = 5

    gosched.run(main)
    assert gosched.current() is None


def test_names_of_odd_callables():
    class Callable:
        def __call__(self):
            return gosched.current().name

    class Weird:
        def __init__(self):
            self.__qualname__ = 5

        def __call__(self):
            return gosched.current().name

    def main():
        assert gosched.go(Callable()).result() == "Callable"
        assert gosched.go(Weird()).result() == "Weird"
        long = type("é" * 40, (Callable,), {})
        assert gosched.go(long()).result() == "é" * 40

    gosched.run(main)


def wait_for(holds):
    """Sleeps until it holds, for half a minute at most."""
    for _ in range(30_000):
        if holds():
            return
        gosched.sleep(0.001)
    raise AssertionError("it never came to hold")


def test_states(libc):
    def main():
        gate = gosched.Chan()
        g = gosched.go(gate.recv)
        assert g.state == "runnable"
        assert not g.done()
        wait_for(lambda: g.state == "waiting")
        gate.send(None)
        g.join()
        assert g.state == "done"
        f = gosched.go(libc.usleep, 1_000_000)
        wait_for(lambda: f.state == "syscall")
        f.join()

    gosched.run(main)


def test_contextvars_are_copied():
    var = contextvars.ContextVar("var", default="unset")

    def child():
        before = var.get()
        var.set("child's")
        gosched.sleep(0.001)
        return before, var.get()

    def main():
        var.set("main's")
        g = gosched.go(child)
        var.set("later")
        assert g.result() == ("main's", "child's")
        return var.get()

    context = contextvars.copy_context()
    assert context.run(gosched.run, main) == "later"
    assert var.get() == "unset"


def test_go_from_a_plain_thread():
    def main():
        def plain():
            g = gosched.go(lambda: threading.get_ident())
            return g, g.result(30)

        gs = [gosched.go(in_thread, plain) for _ in range(3)]
        return [g.result()[0].done() for g in gs]

    assert gosched.run(main) == [True, True, True]


def test_error_nobody_asked_for(monkeypatch):
    seen = []
    monkeypatch.setattr(gosched, "excepthook", seen.append)

    def bad():
        raise RuntimeError("unseen")

    def main():
        gosched.go(bad)
        kept = gosched.go(bad)
        wait_for(lambda: seen)
        wait_for(kept.done)
        assert len(seen) == 1
        args = seen[0]
        assert args.exc_type is RuntimeError
        assert str(args.exc_value) == "unseen"
        assert traceback.extract_tb(args.exc_traceback)[-1].name == "bad"
        assert args.thread.name.endswith("bad")
        assert args.thread.done()
        del args, kept
        gc.collect()
        assert len(seen) == 2

    gosched.run(main)


def test_errors_asked_for_are_not_reported(monkeypatch):
    seen = []
    monkeypatch.setattr(gosched, "excepthook", seen.append)

    def main():
        for ask in ("join", "exception"):
            getattr(gosched.go(lambda: 1 / 0), ask)()
        with pytest.raises(ZeroDivisionError):
            gosched.go(lambda: 1 / 0).result()
        g = gosched.go(gosched.sleep, 100)
        gosched.yield_now()
        g.cancel()
        wait_for(g.done)

    gosched.run(main)
    gc.collect()
    assert seen == []


def test_default_excepthook(capsys):
    def bad():
        raise RuntimeError("for stderr")

    def leave():
        sys.exit(3)

    def main():
        both = weakref.WeakSet([gosched.go(bad), gosched.go(leave)])
        wait_for(lambda: not both)

    gosched.run(main)
    err = capsys.readouterr().err
    assert "Exception in green thread" in err
    assert "bad'" in err
    assert "RuntimeError: for stderr" in err
    assert "SystemExit" not in err


def test_failing_excepthook_is_reported(monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: unraisable.append(u.exc_type))
    monkeypatch.setattr(gosched, "excepthook", lambda args: 1 / 0)

    def main():
        gosched.go(lambda: {}[1])
        wait_for(lambda: unraisable)

    gosched.run(main)
    assert unraisable == [ZeroDivisionError]


def test_objects_are_freed():
    class Thing:
        pass

    def main():
        thing = Thing()
        ref = weakref.ref(thing)
        g = gosched.go(lambda t: id(t), thing)
        gref = weakref.ref(g)
        del thing
        g.join()
        assert ref() is None, "arguments live until the function has returned, not longer"
        del g
        assert gref() is None

    gosched.run(main)


def test_cycle_through_a_green_thread():
    def main():
        class Holder:
            pass

        h = Holder()
        h.g = gosched.go(lambda held=h: held)
        h.g.join()
        ref = weakref.ref(h)
        del h
        gc.collect()
        return ref()

    assert gosched.run(main) is None


def test_cannot_be_made_by_hand():
    with pytest.raises(TypeError):
        gosched.GreenThread()
