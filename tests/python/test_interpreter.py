"""What the interpreter keeps per thread goes along when a green thread changes threads.

hop() is a foreign call that lets others run; twenty green threads hop at once, so that they come
back on other threads all the time.
"""

from __future__ import annotations

import contextvars
import copy
import decimal
import faulthandler
import functools
import gc
import importlib
import json
import logging
import re
import sys
import tempfile
import threading
import time
import traceback
import weakref

import gosched
import pytest
from conftest import until

WORKERS = 12
ROUNDS = 15


@pytest.fixture
def spread(libc):
    """Runs fn(i) on many green threads at once; each must return without an error."""

    def spread(fn, n=WORKERS):
        threads = set()

        def body(i):
            fn(i)
            threads.add(threading.get_native_id())

        def main():
            with gosched.TaskGroup() as tg:
                for i in range(n):
                    tg.go(body, i)

        gosched.run(main)
        return threads

    return spread


def test_they_do_change_threads(spread, hop):
    moves = []

    def body(i):
        before = threading.get_native_id()
        for _ in range(ROUNDS):
            hop()
            moves.append(threading.get_native_id() != before)
            before = threading.get_native_id()

    spread(body)
    assert any(moves)


def test_exceptions_in_flight(spread, hop):
    def body(i):
        for k in range(ROUNDS):
            try:
                try:
                    hop()
                    raise ValueError(i, k)
                except ValueError as e:
                    assert sys.exc_info()[1] is e
                    hop()
                    assert sys.exc_info()[1] is e
                    try:
                        hop()
                        raise KeyError(k)
                    except KeyError as e2:
                        hop()
                        assert e2.__context__ is e
                        assert sys.exc_info()[1] is e2
                    hop()
                    assert sys.exc_info()[1] is e
                    raise RuntimeError(i) from e
            except RuntimeError as e3:
                hop()
                assert e3.__cause__.args == (i, k)
                assert e3.args == (i,)
                assert len(traceback.extract_tb(e3.__traceback__)) == 1
            finally:
                hop()
            assert sys.exc_info() == (None, None, None)

    spread(body)


def test_generators(spread, hop):
    def inner(i, n):
        for x in range(n):
            hop()
            y = yield (i, x)
            hop()
            assert y == x * 2
        return "done"

    def outer(i, n):
        r = yield from inner(i, n)
        hop()
        assert r == "done"
        yield r

    def body(i):
        g = outer(i, ROUNDS)
        v = next(g)
        for x in range(ROUNDS):
            assert v == (i, x)
            hop()
            v = g.send(x * 2)
        assert v == "done"
        g2 = inner(i, 3)
        next(g2)
        hop()
        with pytest.raises(ZeroDivisionError):
            g2.throw(ZeroDivisionError)
        g3 = inner(i, 3)
        next(g3)
        hop()
        g3.close()

    spread(body)


def test_a_generator_resumed_by_others(hop):
    def numbers():
        for i in range(200):
            hop()
            yield i

    def main():
        gen = numbers()
        turn = gosched.Chan(1)
        turn.send(None)
        got = []

        def take():
            for _ in range(20):
                turn.recv()
                got.append(next(gen))
                turn.send(None)

        with gosched.TaskGroup() as tg:
            for _ in range(10):
                tg.go(take)
        return got

    assert gosched.run(main) == list(range(200))


def test_recursion(spread, hop):
    def down(n):
        if n % 50 == 0:
            hop()
        return 0 if n == 0 else 1 + down(n - 1)

    def endless(n):
        if n % 97 == 0:
            hop()
        return endless(n + 1)

    def body(i):
        assert down(700) == 700
        with pytest.raises(RecursionError):
            endless(1)
        assert down(700) == 700

    spread(body, 4)


def test_recursion_through_c(spread, hop):
    def key(n):
        if n % 20 == 0:
            hop()
        return sorted([0], key=lambda x: key(n + 1))

    class Deep:
        def __init__(self, inner):
            self.inner = inner

        def __repr__(self):
            return f"<{self.inner!r}>"

        def __eq__(self, other):
            return self.inner == other.inner

        __hash__ = None

    def nest(make, n):
        x = 0
        for _ in range(n):
            x = make(x)
        return x

    def body(i):
        with pytest.raises(RecursionError):
            key(0)
        deep = nest(Deep, 100_000)
        with pytest.raises(RecursionError):
            repr(deep)
        with pytest.raises(RecursionError):
            assert deep == nest(Deep, 100_000)
        with pytest.raises(RecursionError):
            json.dumps(nest(lambda x: [x], 100_000))
        with pytest.raises(RecursionError):
            copy.deepcopy(nest(lambda x: [x], 100_000))
        with pytest.raises(RecursionError):
            functools.reduce(lambda f, _: lambda: f(), range(100_000), lambda: 0)()

    spread(body, 2)


def test_parser_and_compiler(spread, hop):
    def body(i):
        hop()
        source = "(" * 80 + "1" + ")" * 80
        assert eval(source) == 1
        with pytest.raises((SyntaxError, MemoryError, RecursionError)):
            compile("(" * 5000 + ")" * 5000, "x", "eval")
        tree = "+".join("1" for _ in range(500))
        assert eval(tree) == 500
        ns = {"hop": hop}
        exec("def f(n):\n s = 0\n for k in range(n):\n  hop(); s += k\n return s\n", ns)
        assert ns["f"](10) == 45

    spread(body, 3)


def test_callbacks_of_c(spread, hop):
    def body(i):
        assert sorted(range(20), key=lambda x: (hop(), -x)[1]) == list(range(19, -1, -1))
        assert re.sub("a", lambda m: (hop(), "b")[1], "aaaa") == "bbbb"
        assert [(hop(), x + 1)[1] for x in range(10)] == list(range(1, 11))
        hook = json.loads('[{"a":1},{"a":2}]', object_hook=lambda d: (hop(), d["a"])[1])
        assert hook == [1, 2]
        assert functools.reduce(lambda a, b: (hop(), a + b)[1], range(10)) == 45

    spread(body)


def test_special_methods(spread, hop):
    class Meta(type):
        @classmethod
        def __prepare__(cls, name, bases):
            hop()
            return {}

        def __new__(cls, *args):
            hop()
            return super().__new__(cls, *args)

    def body(i):
        class X(metaclass=Meta):
            hop()

            def __eq__(self, other):
                hop()
                return True

            def __hash__(self):
                hop()
                return 1

            def __getattr__(self, name):
                hop()
                return name

            def __repr__(self):
                hop()
                return "X"

            def __enter__(self):
                hop()
                return self

            def __exit__(self, *args):
                hop()
                return True

        x = X()
        assert {x: 1}[X()] == 1
        assert x.foo == "foo"
        assert repr([x]) == "[X]"
        with x:
            raise ValueError

    spread(body)


def test_contexts(spread, hop):
    var = contextvars.ContextVar("var", default=None)

    def body(i):
        assert var.get() is None
        var.set(i)
        for _ in range(ROUNDS):
            hop()
            assert var.get() == i

        def inner():
            var.set("inner")
            hop()
            return var.get()

        assert contextvars.copy_context().run(inner) == "inner"
        hop()
        assert var.get() == i

    spread(body)


def test_decimal_contexts(spread, hop):
    def body(i):
        decimal.setcontext(decimal.Context(prec=5 + i))
        for _ in range(ROUNDS):
            hop()
            assert decimal.getcontext().prec == 5 + i
        with decimal.localcontext() as c:
            c.prec = 3
            hop()
            assert str(decimal.Decimal(1) / 3) == "0.333"

    spread(body)


def test_thread_locals(spread, hop):
    local = threading.local()

    def body(i):
        assert not hasattr(local, "x")
        local.x = i
        for _ in range(ROUNDS):
            hop()
            assert local.x == i

    spread(body)


def test_thread_locals_die_with_their_green_thread():
    class Thing:
        def __del__(self):
            # Runs while the thread state is being cleared: the scheduler still works.
            gosched.sleep(0.001)
            died.append(gosched.current())

    died = []
    local = threading.local()

    def body():
        local.thing = Thing()

    def main():
        gs = [gosched.go(body) for _ in range(20)]
        for g in gs:
            g.join()
        end = time.monotonic() + 60  # it dies after the function has ended
        while len(died) < 20 and time.monotonic() < end:
            gosched.sleep(0.005)
        return len(died)

    assert gosched.run(main) == 20


def test_frames(spread, hop):
    def body(i):
        f = sys._getframe()

        def inner():
            hop()
            assert sys._getframe(1) is f
            hop()
            assert f.f_locals["i"] == i

        for _ in range(ROUNDS):
            inner()

    spread(body)


def test_current_frames_tells_green_threads_apart():
    def waits_in_a(ch):
        ch.recv()

    def main():
        ch = gosched.Chan()
        gs = [gosched.go(waits_in_a, ch) for _ in range(10)]
        until(lambda: all(g.state == "waiting" for g in gs))
        frames = list(sys._current_frames().values())
        ch.close()
        for g in gs:
            g.join()
        return sum(f.f_code.co_name == "waits_in_a" for f in frames)

    assert gosched.run(main) == 10


def test_tracing(spread, hop):
    def traced(n):
        x = 0
        for k in range(n):
            x += k
        return x

    def body(i):
        events = []

        def trace(frame, event, arg):
            if frame.f_code.co_name == "traced":
                events.append(event)
                hop()
            return trace

        sys.settrace(trace)
        hop()
        traced(3)
        hop()
        sys.settrace(None)
        assert events[0] == "call"
        assert events[-1] == "return"
        n = len(events)
        traced(2)
        assert len(events) == n

    spread(body, 4)


def test_garbage_collection(spread, hop):
    died = []

    class Cycle:
        def __init__(self, i):
            self.i, self.me = i, self

        def __del__(self):
            hop()
            died.append(self.i)

    def body(i):
        for _ in range(5):
            Cycle(i)
            hop()
            gc.collect()

    spread(body)
    gc.collect()
    assert len(died) == 5 * WORKERS


def test_weak_references(spread, hop):
    class Thing:
        pass

    def body(i):
        called = []
        for k in range(ROUNDS):
            t = Thing()
            r = weakref.ref(t, lambda _, k=k: (hop(), called.append(k)))
            hop()
            assert r() is t
            del t
            assert r() is None
        assert called == list(range(ROUNDS))

    spread(body)


def test_coroutines(spread, hop):
    async def counts(n):
        for _ in range(n):
            hop()
        return n

    async def numbers():
        for k in range(4):
            hop()
            yield k

    async def total():
        s = 0
        async for x in numbers():
            hop()
            s += x
        return s + await counts(3)

    def body(i):
        with pytest.raises(StopIteration) as info:
            total().send(None)
        assert info.value.value == 9

    spread(body)


def test_imports(spread, hop):
    names = ("colorsys", "quopri", "mimetypes", "plistlib", "wave", "this_is_missing")
    for name in names:
        sys.modules.pop(name, None)

    def body(i):
        for name in names:
            hop()
            if name == "this_is_missing":
                with pytest.raises(ModuleNotFoundError):
                    importlib.import_module(name)
                continue
            assert importlib.import_module(name).__name__ == name

    spread(body)


def test_a_module_that_waits_while_it_is_imported(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(
        "import gosched\n"
        "libc = gosched.dlopen(None, 'int usleep(unsigned);', blocking=['usleep'])\n"
        "for _ in range(50):\n"
        "    libc.usleep(200)\n"
        "    gosched.sleep(0.0005)\n"
        "ready = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def imports():
        import slow_module

        return slow_module.ready

    def main():
        others = [gosched.go(gosched.sleep, 0.05) for _ in range(5)]
        gs = [gosched.go(imports) for _ in range(8)]
        results = [g.result(60) for g in gs]
        for o in others:
            o.join()
        return results

    assert gosched.run(main) == [True] * 8
    sys.modules.pop("slow_module")


def test_logging(spread, hop):
    class Keep(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    records = []
    logger = logging.getLogger("gosched.test")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(Keep())

    def body(i):
        for k in range(ROUNDS):
            hop()
            logger.info("%s %s", i, k)

    spread(body)
    assert len(records) == WORKERS * ROUNDS


def test_faulthandler(spread, hop):
    def body(i):
        with tempfile.TemporaryFile() as f:
            hop()
            faulthandler.dump_traceback(f, all_threads=False)
            f.seek(0)
            assert b"in body" in f.read()
            hop()
            faulthandler.dump_traceback(f, all_threads=True)

    """ctypes calls back through PyGILState_Ensure with the caller's thread state."""


def test_gil_state_callbacks(libc, hop):
    """ctypes calls back through PyGILState_Ensure with the thread state of the caller."""
    import ctypes

    compare_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    qsort = ctypes.CDLL(None).qsort
    qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, compare_type]
    qsort.restype = None
    local = threading.local()

    def body(i):
        local.x = i
        seen = []
        threads = set()

        @compare_type
        def compare(a, b):
            seen.append(local.x)
            threads.add(threading.get_native_id())
            gosched.sleep(0.0002)
            hop()
            threads.add(threading.get_native_id())
            return 0

        numbers = (ctypes.c_int * 8)(*range(8))
        qsort(numbers, 8, 4, compare)
        assert set(seen) == {i}
        assert len(threads) == 1, "a green thread with C code below it has changed threads"

    def main():
        with gosched.TaskGroup() as tg:
            for i in range(8):
                tg.go(body, i)

    gosched.run(main)
