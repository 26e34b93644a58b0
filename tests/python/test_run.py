"""run: results, errors, arguments, nesting, threads, and doing it again."""

from __future__ import annotations

import threading
import time
import traceback

import gosched
import pytest
from conftest import in_thread, os_threads


def test_result_and_arguments():
    assert gosched.run(lambda a, b: (a, b), 1, "x") == (1, "x")
    assert gosched.run(lambda: None) is None


def test_error_with_traceback():
    def inner():
        raise KeyError("deep")

    def main():
        inner()

    with pytest.raises(KeyError, match="deep") as info:
        gosched.run(main)
    names = [f.name for f in traceback.extract_tb(info.value.__traceback__)]
    assert names[-2:] == ["main", "inner"]


def test_system_exit_comes_out():
    def main():
        raise SystemExit(7)

    with pytest.raises(SystemExit) as info:
        gosched.run(main)
    assert info.value.code == 7


def test_main_is_on_the_callers_thread():
    ident = threading.get_native_id()

    def main():
        seen = [threading.get_native_id()]
        for _ in range(5):
            gosched.go(gosched.sleep, 0.001)
            gosched.sleep(0.002)
            seen.append(threading.get_native_id())
        assert threading.current_thread() is threading.main_thread()
        return seen

    assert set(gosched.run(main)) == {ident}


def test_a_hundred_times():
    before = None
    for i in range(100):

        def main(i=i):
            gs = [gosched.go(lambda k: k * k, k) for k in range(10)]
            gosched.sleep(0)
            return i + sum(g.result() for g in gs)

        assert gosched.run(main) == i + 285
        if i == 10:
            before = os_threads()
    assert before is not None
    assert os_threads() <= before + 4


def test_error_then_again():
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            gosched.run(lambda: 1 // 0)
        assert gosched.run(lambda: "fine") == "fine"


def test_nested_run_says_what_to_do():
    def main():
        with pytest.raises(
            gosched.Error, match=r"already inside gosched\.run: call main\(\*args\)"
        ):
            gosched.run(lambda: 1)

        def green():
            gosched.run(lambda: 1)

        with pytest.raises(gosched.Error, match="already inside"):
            gosched.go(green).result()
        return "survived"

    assert gosched.run(main) == "survived"


def test_run_on_another_thread():
    def main():
        g = gosched.go(lambda: threading.get_native_id())
        g.join()
        gosched.sleep(0.01)
        return threading.get_native_id()

    assert in_thread(lambda: gosched.run(main)) != threading.get_native_id()
    assert gosched.run(main) == threading.get_native_id()


def test_run_while_another_thread_is_in_it():
    def main():
        with pytest.raises(gosched.Error, match="another thread is inside"):
            in_thread(lambda: gosched.run(lambda: 1))

    gosched.run(main)


@pytest.mark.parametrize("bad", [None, 3, "main"])
def test_main_must_be_callable(bad):
    with pytest.raises(TypeError, match="main must be callable, not"):
        gosched.run(bad)


@pytest.mark.parametrize(
    ("kw", "error", "text"),
    [
        ({"procs": 0}, ValueError, "procs is 0"),
        ({"procs": -1}, ValueError, "procs is -1"),
        ({"procs": 5000}, ValueError, "procs"),
        ({"procs": "2"}, TypeError, "procs must be an int or None, not str"),
        ({"procs": 10**30}, ValueError, "procs is 10000"),
        ({"max_threads": 1}, ValueError, "max_threads"),
        ({"max_threads": 2.5}, TypeError, "max_threads must be an int or None, not float"),
    ],
)
def test_arguments_out_of_range(kw, error, text):
    with pytest.raises(error, match=text):
        gosched.run(lambda: 1, **kw)
    assert gosched.run(lambda: 1, procs=2) == 1


def test_unknown_keyword():
    with pytest.raises(TypeError):
        gosched.run(lambda: 1, nonsense=1)


def test_thread_limit_queues_and_goes_on():
    def main():
        t = time.monotonic()
        gs = [gosched.go(time.sleep, 0.05) for _ in range(12)]
        for g in gs:
            g.join()
        return time.monotonic() - t

    took = gosched.run(main, max_threads=4)
    assert 0.05 <= took < 20
    assert gosched.stats()["gs_live"] == 0


def test_what_still_runs_is_cancelled_and_joined():
    ended = []

    def rest(i):
        try:
            gosched.sleep(1000)
        finally:
            ended.append(i)

    def main():
        greens = [gosched.go(rest, i) for i in range(5)]
        while any(g.state != "waiting" for g in greens):  # else they end before they begin
            gosched.sleep(0.001)
        return "early"

    assert gosched.run(main) == "early"
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert gosched.stats()["gs_live"] == 0


def test_green_threads_started_at_the_end_are_cancelled_too():
    seen = []

    def late():
        seen.append("ran")

    def rest():
        try:
            gosched.sleep(1000)
        finally:
            gosched.go(late)

    def main():
        gosched.go(rest)
        gosched.sleep(0.01)

    gosched.run(main)
    assert seen == []
    assert gosched.stats()["gs_live"] == 0
