"""map and as_completed."""

from __future__ import annotations

import gosched
import pytest
from conftest import until
from hypothesis import given
from hypothesis import strategies as st


def test_map_keeps_order(hop):
    def work(x):
        gosched.sleep(0.001 * (7 * x % 5))
        hop()
        return x * x

    def main():
        assert list(gosched.map(work, range(50))) == [x * x for x in range(50)]
        assert list(gosched.map(lambda a, b: (a, b), "abc", (1, 2))) == [("a", 1), ("b", 2)]
        assert list(gosched.map(work, [])) == []

    gosched.run(main)


@given(st.integers(0, 20), st.integers(1, 6))
def test_map_limit(n, limit):
    state = {"now": 0, "most": 0, "read": 0, "taken": 0}

    def items():
        for i in range(n):
            state["read"] += 1
            assert state["read"] - state["taken"] <= limit
            yield i

    def work(x):
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        gosched.yield_now()
        state["now"] -= 1
        return x

    def main():
        results = []
        for x in gosched.map(work, items(), limit=limit):
            results.append(x)
            state["taken"] += 1
        return results

    assert gosched.run(main) == list(range(n))
    assert state["most"] <= limit


def test_map_error_cancels_the_rest():
    begun, ended = [], []

    def work(x):
        if x == 3:
            raise KeyError(x)
        begun.append(x)
        try:
            gosched.sleep(0 if x < 3 else 30)
        finally:
            ended.append(x)
        return x

    def main():
        got = []
        with pytest.raises(KeyError):
            for x in gosched.map(work, range(6)):
                got.append(x)
        assert got == [0, 1, 2] and sorted(ended) == sorted(begun)

    gosched.run(main)


def test_map_closed_early():
    begun, ended = [], []

    def work(x):
        begun.append(x)
        try:
            gosched.sleep(0 if x == 0 else 30)
        finally:
            ended.append(x)
        return x

    def main():
        results = gosched.map(work, range(4))
        assert next(results) == 0
        results.close()
        assert sorted(ended) == sorted(begun)

    gosched.run(main)


def test_map_arguments():
    with pytest.raises(TypeError, match="fn must be callable, not int"):
        gosched.map(1, [])
    with pytest.raises(TypeError, match="at least one iterable"):
        gosched.map(len)
    for limit in (0, -1, 1.5):
        with pytest.raises(ValueError, match="it must be 1 or more, or None"):
            gosched.map(len, [], limit=limit)


def test_as_completed():
    def main():
        events = [gosched.Event() for _ in range(3)]
        greens = [gosched.go(e.wait) for e in events]
        failed = gosched.go(lambda: 1 / 0)
        failed.join()
        order = []
        for green in gosched.as_completed([*greens, failed, failed]):
            order.append(green)
            if len(order) <= 3:
                events[(1, 2, 0)[len(order) - 1]].set()
        assert order == [failed, greens[1], greens[2], greens[0]]
        assert list(gosched.as_completed([])) == []
        assert list(gosched.as_completed(reversed(greens))) == greens[::-1]

    gosched.run(main)


def test_as_completed_timeout():
    def main():
        quick, slow = gosched.go(gosched.sleep, 0), gosched.go(gosched.sleep, 30)
        until(quick.done)
        got = []
        with pytest.raises(TimeoutError, match="1 green threads have not ended in time"):
            for g in gosched.as_completed([quick, slow], timeout=0.05):
                got.append(g)
        assert got == [quick] and not slow.done()

    gosched.run(main)
