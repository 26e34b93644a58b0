"""Debuggers, profilers and the like: they follow a green thread wherever it goes on."""

from __future__ import annotations

import bdb
import cProfile
import faulthandler
import pdb
import pstats
import sys
import tempfile
import threading
import trace
import warnings
from io import StringIO

import gosched
import pytest


@pytest.fixture
def spread(hop):
    """Runs body(i) on four green threads that change threads."""

    def spread(body):
        threads = set()

        def noting(i):
            for n in range(100_000):
                hop()
                threads.add(threading.get_native_id())
                if n > 5 and len(threads) > 1:
                    break
            return body(i)

        def main():
            return [g.result() for g in [gosched.go(noting, i) for i in range(4)]]

        results = gosched.run(main)
        assert len(threads) > 1
        return results

    return spread


def worked(hop, n):
    total = 0
    for i in range(n):
        hop()
        total += i
    return total


def test_settrace_of_threading_traces_green_threads(spread, hop):
    """What coverage and debuggers use to see every thread."""
    lines = []

    def tracer(frame, event, arg):
        if frame.f_code is worked.__code__:
            lines.append((threading.get_ident(), event))
        return tracer

    threading.settrace(tracer)
    try:
        assert spread(lambda i: worked(hop, 5)) == [10] * 4
    finally:
        threading.settrace(None)
    assert len({ident for ident, _ in lines}) == 4
    for event in ("call", "return"):
        assert sum(e == event for _, e in lines) == 4
    n = len(lines)
    spread(lambda i: worked(hop, 5))
    assert len(lines) == n


def test_setprofile_of_threading_profiles_green_threads(spread, hop):
    calls = []

    def profiler(frame, event, arg):
        if frame.f_code is worked.__code__:
            calls.append((threading.get_ident(), event))

    threading.setprofile(profiler)
    try:
        spread(lambda i: worked(hop, 5))
    finally:
        threading.setprofile(None)
    assert len(calls) == 8
    assert len({ident for ident, _ in calls}) == 4


def test_a_hook_that_fails():
    def main():
        threading.settrace(lambda *args: 1 / 0)
        try:
            g = gosched.go(worked, int, 3)
            with pytest.raises(ZeroDivisionError):
                g.result()
        finally:
            threading.settrace(None)

    gosched.run(main)


def test_trace_counts_lines(spread, hop):
    """The module trace, which counts as coverage does."""
    tracer = trace.Trace(count=True, trace=False)
    tracer.runctx("spread(body)", {"spread": spread, "body": lambda i: worked(hop, 5)})
    first = worked.__code__.co_firstlineno
    counts = tracer.results().counts
    assert counts[__file__, first + 4] == 4 * 5


def test_coverage(spread, hop):
    coverage = pytest.importorskip("coverage")
    measured = coverage.Coverage(data_file=None, include=[__file__])
    measured.start()
    try:
        spread(lambda i: worked(hop, 3))
    finally:
        measured.stop()
    _, _, missing, _ = measured.analysis(__file__)
    first = worked.__code__.co_firstlineno
    assert not {first + k for k in range(1, 6)} & set(missing)


def test_cprofile(hop):
    """One of its own for each, as for threads; from 3.12 on CPython has one for the process, which
    sees the calls of all threads, so only one green thread is there then."""

    def body():
        profile = cProfile.Profile()
        profile.enable()
        worked(hop, 5)
        profile.disable()
        return profile

    def main():
        n = 4 if sys.version_info < (3, 12) else 1
        return [g.result() for g in [gosched.go(body) for _ in range(n)]]

    for profile in gosched.run(main):
        stats = pstats.Stats(profile, stream=StringIO())
        calls = {name: row[0] for (_, _, name), row in stats.stats.items()}
        assert calls["worked"] == 1
        assert calls["hop"] == 5


def test_a_breakpoint(spread, hop):
    """pdb steps through a green thread that goes on on other threads."""

    def body(i):
        out = StringIO()
        debugger = pdb.Pdb(stdin=StringIO("next\nnext\np n\ncontinue\n"), stdout=out, nosigint=True)
        debugger.use_rawinput = False
        debugger.prompt = ""

        def stops(n):
            debugger.set_trace()
            hop()
            n += 1
            return n

        assert stops(40 + i) == 41 + i
        return out.getvalue()

    one_at_a_time = gosched.Mutex()

    def alone(i):
        with one_at_a_time:  # what pdb keeps in the class Breakpoint is for all
            return body(i)

    for i, text in enumerate(spread(alone)):
        assert f"{40 + i}" in text or f"{41 + i}" in text
        assert "n += 1" in text


def test_bdb_sees_a_whole_green_thread(hop):
    class Lines(bdb.Bdb):
        def user_line(self, frame):
            if frame.f_code is worked.__code__:
                seen.append(frame.f_lineno)
            self.set_step()

    seen = []

    def main():
        others = [gosched.go(lambda: [hop() for _ in range(20)]) for _ in range(3)]
        gosched.go(lambda: Lines().runcall(worked, hop, 3)).result()
        for g in others:
            g.join()

    gosched.run(main)
    assert len(seen) >= 3 * 3


def test_faulthandler_shows_every_green_thread(hop):
    def waits_in_line(ch):
        ch.recv()

    def main():
        ch = gosched.Chan()
        gs = [gosched.go(waits_in_line, ch) for _ in range(5)]
        while any(g.state != "waiting" for g in gs):
            gosched.sleep(0.001)
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            text = file.read().decode()
        ch.close()
        for g in gs:
            g.exception()
        return text

    text = gosched.run(main)
    assert text.count("in waits_in_line") == 5
    assert text.count("in main") == 1


def test_warnings(spread, hop):
    """Where a warning comes from is told by the stack, and "default" shows it once."""

    def body(i):
        for _ in range(3):
            hop()
            warnings.warn("of a green thread", stacklevel=1)
        return sys._getframe().f_code.co_name

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        spread(body)
    assert [str(w.message) for w in caught] == ["of a green thread"]
    assert caught[0].filename == __file__
