"""Executor: what concurrent.futures promises, inside gosched.run and in any other program."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import time

import gosched
import pytest
from conftest import os_threads


@pytest.fixture(params=["inside", "outside"])
def place(request):
    """Calls a function inside of gosched.run, or where there is none."""
    if request.param == "inside":
        return gosched.run
    return lambda fn: fn()


def test_results_and_errors(place):
    def main():
        with gosched.Executor() as executor:
            future = executor.submit(pow, 2, exp=5)
            assert future.result(30) == 32 and future.done()
            failed = executor.submit(lambda: 1 / 0)
            assert isinstance(failed.exception(30), ZeroDivisionError)
            with pytest.raises(ZeroDivisionError):
                failed.result()
            assert list(executor.map(lambda a, b: a + b, range(20), range(20))) == [
                2 * i for i in range(20)
            ]
            called = threading.Event()
            executor.submit(lambda: 1).add_done_callback(lambda _f: called.set())
            assert called.wait(30)

    place(main)


def test_calls_block_side_by_side(place):
    def main():
        with gosched.Executor() as executor:
            began = time.monotonic()
            done, not_done = concurrent.futures.wait(
                [executor.submit(time.sleep, 0.2) for _ in range(50)]
            )
            assert len(done) == 50 and not not_done
            return time.monotonic() - began

    assert place(main) < 50 * 0.2 / 2


def test_max_workers(place):
    state = {"now": 0, "most": 0}

    def work():
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        gosched.sleep(0.001)
        state["now"] -= 1

    def main():
        with gosched.Executor(max_workers=3) as executor:
            for future in [executor.submit(work) for _ in range(30)]:
                future.result(30)

    place(main)
    assert state == {"now": 0, "most": 3}


def test_cancel_of_what_has_not_begun(place):
    def main():
        go_on = threading.Event()
        executor = gosched.Executor(max_workers=1)
        first = executor.submit(go_on.wait)
        while not first.running():
            time.sleep(0.001)
        second, third = executor.submit(pow, 2, 3), executor.submit(pow, 2, 4)
        assert second.cancel() and not first.cancel()
        go_on.set()
        assert third.result(30) == 16
        with pytest.raises(concurrent.futures.CancelledError):
            second.result(30)
        executor.shutdown()

    place(main)


def test_shutdown(place):
    def main():
        executor = gosched.Executor()
        slow = executor.submit(time.sleep, 0.1)
        executor.shutdown(wait=False)
        assert not slow.done()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(pow, 1, 1)
        executor.shutdown()
        assert slow.done()
        executor.shutdown()

        executor, go_on = gosched.Executor(max_workers=1), threading.Event()
        first = executor.submit(go_on.wait)
        while not first.running():
            time.sleep(0.001)
        rest = [executor.submit(pow, 2, 3) for _ in range(5)]
        executor.shutdown(wait=False, cancel_futures=True)
        assert all(f.cancelled() for f in rest)
        go_on.set()
        executor.shutdown()
        assert first.result() is True

    place(main)


def test_submit_from_threads_and_from_work(place):
    def main():
        with gosched.Executor() as executor:

            def nested(depth):
                return depth if depth == 0 else 1 + executor.submit(nested, depth - 1).result(30)

            results = []
            threads = [
                threading.Thread(
                    target=lambda: results.append(executor.submit(nested, 5).result(30))
                )
                for _ in range(4)
            ]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert results == [5] * 4

    place(main)


def test_green_operations_inside_the_work(place):
    def main():
        channel = gosched.Chan()

        def receive():
            return [channel.recv() for _ in range(5)]

        with gosched.Executor() as executor:
            got = executor.submit(receive)
            for i in range(5):
                executor.submit(channel.send, i).result(30)
            assert got.result(30) == list(range(5))

    place(main)


def test_nothing_is_left_outside():
    def main():
        with gosched.Executor() as executor:
            executor.submit(pow, 2, 3).result(30)

    for _ in range(20):
        main()
        assert not gosched._gosched._running()
        gosched.run(lambda: None)  # another one can begin


def test_dropped_executors():
    executor = gosched.Executor()
    future = executor.submit(time.sleep, 0.05)
    del executor
    gc.collect()
    assert future.result(30) is None
    for _ in range(1000):
        if not gosched._gosched._running():
            return
        time.sleep(0.01)
    raise AssertionError("the service goes on")


def test_work_is_done_before_the_program_ends(script):
    program = script(
        """
        import gosched, time
        executor = gosched.Executor()
        def work():
            time.sleep(0.2)
            print("worked")
        executor.submit(work)
        print("main is over")
        """
    )
    assert program.end() == (0, "main is over\nworked\n", "")


def test_run_ends_under_an_executor():
    """Its green threads are cancelled, as all others are."""

    def main():
        return gosched.Executor().submit(gosched.sleep, 30)

    future = gosched.run(main)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(30)


def test_arguments():
    for n in (0, -1, 1.5):
        with pytest.raises(ValueError, match="must be greater than 0, or None"):
            gosched.Executor(n)
    executor = gosched.Executor()
    with pytest.raises(TypeError, match="fn must be callable, not int"):
        executor.submit(3)
    executor.shutdown()


def test_threads_do_not_pile_up():
    before = os_threads()
    for _ in range(20):
        with gosched.Executor() as executor:
            list(executor.map(abs, range(20)))
    assert os_threads() < before + 20


def test_pickled_it_is_a_new_one():
    import pickle

    with gosched.Executor(3) as executor, pickle.loads(pickle.dumps(executor)) as other:
        assert other is not executor
        assert other.submit(pow, 2, 3).result(30) == 8
        executor.shutdown()
        assert other.submit(pow, 2, 4).result(30) == 16
