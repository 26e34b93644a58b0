"""Channels by name, and what they carry."""

from __future__ import annotations

import gc
import math
import sys
import threading
import weakref

import gosched
import pytest
from conftest import in_thread
from hypothesis import given, settings
from hypothesis import strategies as st

# ---- values ----

keys = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
values = st.recursive(
    st.one_of(st.none(), st.floats(), keys),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner)),
    max_leaves=40,
)


def same(a, b):
    """Equal, of the same types, in the same order, down to the sign of zero and NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True)
        )
    return a == b


@given(values)
@settings(deadline=None, max_examples=300)
def test_what_is_sent_is_received(value):
    ch = gosched.shared("round trip", 1)
    ch.try_send(value)
    assert same(ch.try_recv(), value)


def test_other_types_become_those_that_are_carried():
    ch = gosched.shared("others", 10)
    for sent, received in [
        ((1, (2,)), [1, [2]]),
        (bytearray(b"a\0"), b"a\0"),
        (memoryview(b"abc")[1:], b"bc"),
        ({1: ()}, {1: []}),
    ]:
        ch.try_send(sent)
        assert same(ch.try_recv(), received)


def test_a_copy_is_sent():
    ch = gosched.shared("copy", 1)
    rows = [{"id": 1}]
    ch.try_send(rows)
    rows[0]["id"] = 2
    assert ch.try_recv() == [{"id": 1}]


cyclic: list[object] = []
cyclic.append([cyclic])


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (object(), TypeError, "value is of type object and cannot be carried"),
        ([1, {"rows": [0, {1}]}], TypeError, r"value\[1\]\['rows'\]\[1\] is of type set"),
        (2**63, OverflowError, "value is an int of more than 64 bits"),
        ([0, -(2**63) - 1], OverflowError, r"value\[1\] is an int"),
        ({"k": 2**64}, OverflowError, r"value\['k'\] is an int"),
        ({2**64: 1}, OverflowError, "has a key that is an int of more than 64 bits"),
        ({None: 1}, TypeError, "has a key of type NoneType"),
        ([{(1, 2): 1}], TypeError, r"value\[0\] has a key of type tuple"),
        ("\ud800", TypeError, "value is a str with surrogates"),
        (["ok", "x\udfff"], TypeError, r"value\[1\] is a str with surrogates"),
        ({"\ud800": 1}, TypeError, "has a key that is a str with surrogates"),
        (memoryview(b"abcdef")[::2], TypeError, "not in one piece"),
        (1j, TypeError, "of type complex"),
        (cyclic, TypeError, "nested deeper than 100"),
        ({"a" * 300: [object()]}, TypeError, "of type object"),
    ],
)
def test_refused(value, error, text):
    ch = gosched.shared("refused", 1)
    with pytest.raises(error, match=text):
        ch.try_send(value)
    assert len(ch) == 0
    with pytest.raises(error, match="SharedChan.send: value"):
        gosched.run(ch.send, value)
    with pytest.raises(error, match="gosched.select: value"):
        gosched.run(gosched.select, ch.send_case(1), ch.send_case(value))
    assert len(ch) == 0


def test_large_values():
    ch = gosched.shared("large", 1)
    for value in [
        "x" * 10**7,
        b"\xff" * 10**6,
        list(range(10**5)),
        {str(i): i for i in range(10**4)},
    ]:
        ch.try_send(value)
        assert ch.try_recv() == value


# ---- opening ----


def test_one_channel_a_name():
    a, b, other = gosched.shared("name", 2), gosched.shared("name", 2), gosched.shared("other", 2)
    a.try_send(1)
    assert (len(a), len(b), len(other)) == (1, 1, 0)
    assert (b.name, b.capacity, b.closed) == ("name", 2, False)
    assert gosched.shared("name").capacity == 2
    assert repr(a) == '<gosched.SharedChan "name" 1 of 2>'
    b.close()
    b.close()
    assert repr(a) == '<gosched.SharedChan "name" 1 of 2, closed>'


def test_it_lives_as_long_as_somebody_has_it():
    a = gosched.shared("life", 2)
    a.try_send(["left behind", 1])
    b = gosched.shared("life")
    del a
    assert len(b) == 1
    b.close()
    assert gosched.shared("life").closed
    del b
    gc.collect()
    again = gosched.shared("life", 3)
    assert (len(again), again.capacity, again.closed) == (0, 3, False)
    ref = weakref.ref(again)
    del again
    assert ref() is None


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        (("",), ValueError, "the name has 0 bytes; 1 to 255"),
        (("x" * 256,), ValueError, "the name has 256 bytes"),
        (("a\0b",), ValueError, "NUL"),
        (("\ud800",), ValueError, "surrogates"),
        ((b"name",), TypeError, "name is of type bytes"),
        (("open", 3), ValueError, '"open" is open with a capacity of 2; 3 was asked for'),
        (("new", -1), ValueError, "capacity is -1"),
        (("new", 1 << 40), ValueError, "at most"),
        (("new", "1"), TypeError, "integer"),
        ((), TypeError, "name"),
    ],
)
def test_bad_arguments(args, error, text):
    held = gosched.shared("open", 2)
    with pytest.raises(error, match=text):
        gosched.shared(*args)
    assert held.capacity == 2


def test_it_is_made_by_shared_only():
    with pytest.raises(TypeError):
        gosched.SharedChan()


# ---- operations ----


def test_backpressure():
    def main():
        ch = gosched.shared("pressure", 3)
        sent = []

        def sender():
            for i in range(10):
                ch.send(i)
                sent.append(i)
            ch.close()

        gosched.go(sender)
        while len(ch) < 3:
            gosched.yield_now()
        for _ in range(5):
            gosched.yield_now()
        assert sent == [0, 1, 2]
        assert list(ch) == list(range(10))
        with pytest.raises(gosched.Closed):
            ch.recv()
        with pytest.raises(gosched.Closed):
            ch.send(1)

    gosched.run(main)


def test_without_waiting():
    ch = gosched.shared("try", 1)
    with pytest.raises(gosched.WouldBlock, match=r"SharedChan\.try_recv"):
        ch.try_recv()
    ch.try_send(None)
    with pytest.raises(gosched.WouldBlock, match=r"SharedChan\.try_send"):
        ch.try_send(1)
    assert ch.try_recv() is None
    with pytest.raises(gosched.Error, match=r"gosched\.run"):
        ch.recv()
    ch.close()
    with pytest.raises(gosched.Closed):
        ch.try_recv()
    with pytest.raises(gosched.Closed):
        ch.try_send("x" * 100)


def test_timeouts():
    def main():
        ch = gosched.shared("times", 0)
        with pytest.raises(TimeoutError):
            ch.recv(timeout=0.01)
        with pytest.raises(TimeoutError):
            ch.send(["x"], timeout=0.01)
        with pytest.raises(TimeoutError), gosched.timeout(0.01):
            ch.recv()
        g = gosched.go(ch.recv)
        gosched.yield_now()
        g.cancel()
        with pytest.raises(gosched.Cancelled):
            g.result()
        assert gosched.shared("times") is not ch

    gosched.run(main)


def test_select_with_other_channels():
    def main():
        shared, local = gosched.shared("selected", 0), gosched.Chan()
        thing = object()
        gosched.go(local.send, thing)
        assert gosched.select(shared.recv_case(), local.recv_case()) == (1, thing)
        gosched.go(shared.send, [1, "a"])
        assert gosched.select(shared.recv_case(), local.recv_case()) == (0, [1, "a"])
        g = gosched.go(shared.recv)
        assert gosched.select(local.recv_case(), shared.send_case({"k": b"v"})) == (1, None)
        assert g.result() == {"k": b"v"}
        assert gosched.select(local.send_case(thing), shared.send_case(1), default=0) == (-1, 0)
        with pytest.raises(TimeoutError):
            gosched.select(local.send_case(thing), shared.send_case("x" * 99), timeout=0.01)
        shared.close()
        with pytest.raises(gosched.Closed):
            gosched.select(local.recv_case(), shared.recv_case())
        many = [gosched.shared(f"many {i}", 1) for i in range(40)]
        many[33].send("here")
        assert gosched.select(*(c.recv_case() for c in many)) == (33, "here")

    gosched.run(main)


def test_collected_while_somebody_waits():
    def main():
        got = []
        g = gosched.go(lambda: got.append(gosched.shared("waits", 0).recv()))
        gosched.yield_now()
        ch = gosched.shared("waits", 0)
        gc.collect()
        ch.send(7)
        g.join()
        assert got == [7]

    gosched.run(main)


def test_with_an_ordinary_thread():
    def main():
        ch = gosched.shared("threads", 4)

        def feed():
            sent = 0
            while sent < 1000:
                try:
                    ch.try_send(sent)
                    sent += 1
                except gosched.WouldBlock:
                    threading.Event().wait(0.0005)
            ch.close()

        t = threading.Thread(target=feed)
        t.start()
        assert list(ch) == list(range(1000))
        t.join()

    gosched.run(main)


def test_several_readers_and_writers():
    def main():
        ch = gosched.shared("crowd", 5)
        with gosched.TaskGroup() as readers:
            sums = [readers.go(lambda: sum(ch)) for _ in range(5)]
            with gosched.TaskGroup() as writers:
                for _ in range(5):
                    writers.go(lambda: [ch.send(i) for i in range(200)])
            ch.close()
        assert sum(g.result() for g in sums) == 5 * sum(range(200))

    gosched.run(main)


# ---- deadlocks ----


def test_a_deadlock_is_found():
    opened_before = gosched.shared("nobody", 0)

    def main():
        with pytest.raises(gosched.Deadlock):
            opened_before.recv()
        with pytest.raises(gosched.Deadlock):
            gosched.shared("nobody else").send(1)

    gosched.run(main)


def test_no_deadlock_while_a_thread_may_send():
    def main():
        ch = gosched.shared("late", 1)
        begun = threading.Event()

        def late():
            begun.wait()
            threading.Event().wait(0.3)
            ch.try_send("late")

        t = threading.Thread(target=late)
        t.start()
        begun.set()
        assert ch.recv() == "late"
        t.join()

    gosched.run(main)


def test_values_are_freed():
    ch = gosched.shared("freed", 100)
    text = "held by nobody else " * 50
    before = sys.getrefcount(text)
    for _ in range(100):
        ch.try_send([text, {text: text}])
    assert sys.getrefcount(text) == before
    for _ in range(50):
        ch.try_recv()
    del ch
    assert sys.getrefcount(text) == before


def test_run_on_another_thread():
    ch = gosched.shared("elsewhere", 1)
    ch.try_send(3)
    assert in_thread(lambda: gosched.run(ch.recv)) == 3
