"""Green threads that compute give up their turn at their next line (bindings/python/hogs.c)."""

import io
import itertools
import os
import sys
import threading
import time
import weakref

import gosched
import pytest

PATIENCE = 60  # seconds
COMPARE = "int(const void *, const void *)"
QSORT = "void qsort(void *, size_t n, size_t size, int (*compare)(const void *, const void *));"


def until_true(condition):
    """Computes until condition() holds; whether it did."""
    end = time.monotonic() + PATIENCE
    while not (held := condition()) and time.monotonic() < end:
        pass
    return held


def loop_in_lines(done):
    while not done:
        pass


def loop_in_one_line(done):
    while not done:
        pass


def loop_in_a_generator(done):
    sum(0 for _ in itertools.takewhile(lambda _: not done, itertools.count()))


def loop_in_a_comprehension(done):
    while not done:
        [i for i in range(100) if i]


def loop_in_calls(done):
    def nothing():
        pass

    while not done:
        nothing()


def loop_in_exceptions(done):
    while not done:
        try:
            raise ValueError(1)
        except ValueError as e:
            assert e.args == (1,)
        finally:
            assert sys.exc_info()[0] is None


LOOPS = [
    loop_in_lines,
    loop_in_one_line,
    loop_in_a_generator,
    loop_in_a_comprehension,
    loop_in_calls,
    loop_in_exceptions,
]


def beside(hog):
    """Runs hog(done) beside one that computes until it has seen the other one stopped: whether it
    has."""

    def main():
        begun, done = [], []

        def runs():
            begun.append(True)
            hog(done)

        a = gosched.go(runs)

        def sees_it_stopped():
            if not until_true(lambda: begun):
                return False
            try:
                return until_true(lambda: a.state == "runnable")
            finally:
                done.append(True)

        seen = gosched.go(sees_it_stopped).result()
        a.result()
        return seen

    return gosched.run(main)


@pytest.mark.parametrize("hog", LOOPS, ids=lambda f: f.__name__)
def test_stops_at_a_line(hog):
    assert beside(hog)


def test_those_that_run_the_same_code_stop():
    """From 3.12 on the code object is what is marked."""

    def main():
        done = []
        hogs = [gosched.go(loop_in_lines, done) for _ in range(4)]

        def sees_them_stopped():
            return until_true(lambda: all(g.state == "runnable" for g in hogs))

        seen = gosched.go(sees_them_stopped).result()
        done.append(True)
        for g in hogs:
            g.result()
        return seen

    assert gosched.run(main)


def test_leaving_by_an_exception():
    """There is no event in the code that was marked; the next one who is asked looks again."""
    source = """
def once(numbers, zero):
    return sum(numbers) / zero

def hog(done):
    while not done:
        try:
            once(range(200_000), 0)
        except ZeroDivisionError:
            pass
"""

    def main():
        done, hogs = [], []
        for _ in range(3):
            names = {}
            exec(compile(source, "hog", "exec"), names)
            hogs.append(gosched.go(names["hog"], done))

        def sees_them_stopped():
            return until_true(lambda: all(g.state == "runnable" for g in hogs))

        seen = gosched.go(sees_them_stopped).result()
        done.append(True)
        for g in hogs:
            g.result()
        return seen

    assert gosched.run(main)


def test_stays_on_its_thread():
    """The lock of a BufferedReader belongs to the OS thread, and a raw object may be Python."""

    class Raw(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            for _ in range(20_000):
                pass
            buffer[:64] = b"x" * 64
            return 64

    def main():
        end = time.monotonic() + 1
        file = io.BufferedReader(Raw(), 64)

        def reads():
            while time.monotonic() < end:
                assert file.read(64) == b"x" * 64

        for g in [gosched.go(reads) for _ in range(6)]:
            g.result()

    gosched.run(main)


def test_code_that_dies_in_a_hook():
    """A callback of a weak reference to it may wait, which no hook may."""
    source = """
def once(numbers):
    return sum(numbers) / 0
"""
    refs = []

    def main():
        end = time.monotonic() + 1

        def hog():
            while time.monotonic() < end:
                names = {}
                exec(compile(source, "hog", "exec"), names)
                code = names["once"].__code__
                refs.append(weakref.ref(code, lambda _: gosched.yield_now()))
                del code
                try:
                    names.pop("once")(range(300_000))
                except ZeroDivisionError as e:
                    e.__traceback__ = None
                gosched.sleep(0.001)

        for g in [gosched.go(hog) for _ in range(4)]:
            g.result()

    gosched.run(main)
    assert refs


def test_stops_again_and_again():
    def main():
        turns, done = [], []

        def hog(me):
            while not done:
                if not turns or turns[-1] != me:
                    turns.append(me)

        hogs = [gosched.go(hog, i) for i in range(4)]
        gosched.go(until_true, lambda: len(turns) > 40 and len(set(turns)) == 4).result()
        done.append(True)
        for g in hogs:
            g.result()
        return turns

    turns = gosched.run(main)
    assert set(turns) == {0, 1, 2, 3}
    assert len(turns) > 40


def test_results_stay_what_they_are():
    def work(seed):
        numbers = {}
        for i in range(60_000):
            seed = (seed * 1103515245 + 12345) % 2**31
            try:
                numbers[seed % 997] += i
            except KeyError:
                numbers[seed % 997] = i
            total = sum(x for x in (seed, i, 1))
            seed ^= total & 0xFF
        return sorted(numbers.items())

    def main():
        done = []

        def ticks():
            while not done:
                gosched.sleep(0.001)

        ticker = gosched.go(ticks)
        results = [g.result() for g in [gosched.go(work, seed % 3) for seed in range(9)]]
        done.append(True)
        ticker.join()
        return results

    results = gosched.run(main)
    for seed in range(3):
        plain = work(seed)
        assert results[seed] == results[seed + 3] == results[seed + 6] == plain


def test_who_is_traced_is_left_alone():
    """Its trace function stays, and so does what sys.gettrace says."""
    lines = []

    def trace(frame, event, arg):
        if event == "line":
            lines.append(frame.f_lineno)
        return trace

    def main():
        done = []

        def in_lines():
            while not done:
                seen = len(lines)
                assert sys.gettrace() is trace
                assert len(lines) > seen

        def traced():
            sys.settrace(trace)
            try:
                in_lines()
            finally:
                sys.settrace(None)

        g = gosched.go(traced)

        def others():
            for _ in range(20):
                end = time.monotonic() + 0.002
                while time.monotonic() < end:
                    pass
                gosched.sleep(0.001)

        [g.result() for g in [gosched.go(others) for _ in range(3)]]
        done.append(True)
        g.result()

    gosched.run(main)
    assert len(set(lines)) > 1


def test_not_seen_by_who_asks_for_tracers():
    def main():
        done, seen = [], set()

        def hog():
            while not done:
                seen.add((sys.gettrace(), sys.getprofile()))

        hogs = [gosched.go(hog) for _ in range(3)]
        for _ in range(20):
            gosched.sleep(0.001)
        done.append(True)
        for g in hogs:
            g.result()
        return seen

    assert gosched.run(main) == {(None, None)}


def test_callbacks_of_extensions_go_on():
    """There is C below them, which may have locked something."""
    ctypes = pytest.importorskip("ctypes")
    libc = ctypes.CDLL(None)

    def main():
        inside, states = [], set()

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        def compares(a, b):
            inside.append(True)
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
            inside.clear()
            return 0

        def sorts():
            for _ in range(5):
                libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, compares)

        a = gosched.go(sorts)

        def looks():
            while a.state != "done":
                before, state, after = bool(inside), a.state, bool(inside)
                if before and after:
                    states.add(state)

        for g in [gosched.go(looks), gosched.go(looks), a]:
            g.result()
        return states

    assert "runnable" not in gosched.run(main)


def test_callbacks_go_on():
    """They run without the turn."""

    libc = gosched.dlopen(None, QSORT)

    def main():
        done, order = [], []

        def compares(a, b):
            order.append("in")
            end = time.monotonic() + 0.03
            while time.monotonic() < end:
                pass
            order.append("out")
            return 0

        compare = gosched.callback(COMPARE, compares)
        values = gosched.ffi(libc).new("int[]", [2, 1])

        def sorts():
            libc.qsort(values, 2, 4, compare)
            done.append(True)

        def hog():
            while not done:
                pass

        for g in [gosched.go(sorts), gosched.go(hog), gosched.go(hog)]:
            g.result()
        compare.free()
        return order

    assert gosched.run(main) == ["in", "out"]


def test_cancel():
    def main():
        def hog():
            while True:
                gosched.yield_now()
                for _ in range(100_000):
                    pass

        hogs = [gosched.go(hog) for _ in range(3)]
        gosched.sleep(0.03)
        for g in hogs:
            g.cancel()
        for g in hogs:
            with pytest.raises(gosched.Cancelled):
                g.result()

    gosched.run(main)


def test_fork():
    def main():
        done = []
        hogs = [gosched.go(loop_in_lines, done) for _ in range(3)]

        def forks():
            until_true(lambda: any(g.state == "runnable" for g in hogs))
            pid = os.fork()
            if pid == 0:
                os._exit(sum(range(10)))
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        code = gosched.go(forks).result()
        done.append(True)
        for g in hogs:
            g.result()
        return code

    assert gosched.run(main) == 45


def test_ordinary_threads_run_the_same_code():
    """They are no green threads, and are not stopped by what stops those."""
    done = []
    threads = [threading.Thread(target=loop_in_calls, args=(done,)) for _ in range(2)]

    def main():
        for t in threads:
            t.start()
        hogs = [gosched.go(loop_in_calls, done) for _ in range(2)]
        stopped = gosched.go(until_true, lambda: any(g.state == "runnable" for g in hogs)).result()
        done.append(True)
        for g in hogs:
            g.result()
        return stopped

    assert gosched.run(main)
    for t in threads:
        t.join(PATIENCE)
        assert not t.is_alive()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with 3.12")
def test_without_a_tool_of_its_own(script):
    """Others have taken the numbers: hogs are not stopped then, and everything else is as ever."""
    source = """
        import sys, gosched
        for i in (3, 4):
            sys.monitoring.use_tool_id(i, "others")

        def hog():
            for _ in range(1_000_000):
                pass

        gosched.run(lambda: [g.result() for g in [gosched.go(hog) for _ in range(4)]])
        print([sys.monitoring.get_tool(i) for i in (3, 4)])
    """
    code, out, err = script(source).end()
    assert (code, out.strip()) == (0, "['others', 'others']"), err
