"""Chan against a model: random operations, and random producers and consumers."""

from __future__ import annotations

from collections import Counter, deque

import gosched
import hypothesis.strategies as st
from hypothesis import given, settings

OPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers()),
        st.tuples(st.just("recv"), st.none()),
        st.tuples(st.just("close"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(capacity=st.integers(0, 5), ops=OPS)
def test_one_green_thread_against_a_deque(capacity, ops):
    def main():
        ch = gosched.Chan(capacity)
        model: deque[int] = deque()
        closed = False
        for op, value in ops:
            try:
                if op == "send":
                    got = ch.try_send(value)
                elif op == "recv":
                    got = ch.try_recv()
                else:
                    got = ch.close()
            except gosched.Error as e:
                got = type(e)
            if op == "close":
                closed, want = True, None
            elif op == "send":
                if closed:
                    want = gosched.Closed
                elif len(model) < capacity:
                    model.append(value)
                    want = None
                else:
                    want = gosched.WouldBlock
            elif model:
                want = model.popleft()
            else:
                want = gosched.Closed if closed else gosched.WouldBlock
            assert got == want
            assert len(ch) == len(model)
            assert ch.closed == closed

    gosched.run(main)


@settings(max_examples=40, deadline=None)
@given(
    capacity=st.integers(0, 4),
    per_sender=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    receivers=st.integers(1, 5),
    yields=st.lists(st.booleans(), min_size=1, max_size=20),
)
def test_everything_arrives_once_and_in_order(capacity, per_sender, receivers, yields):
    def main():
        ch = gosched.Chan(capacity)

        def send(who, n):
            for i in range(n):
                if yields[i % len(yields)]:
                    gosched.yield_now()
                ch.send((who, i))

        def receive(k):
            got = []
            for item in ch:
                if yields[(len(got) + k) % len(yields)]:
                    gosched.yield_now()
                got.append(item)
            return got

        consumers = [gosched.go(receive, k) for k in range(receivers)]
        with gosched.TaskGroup() as tg:
            for who, n in enumerate(per_sender):
                tg.go(send, who, n)
        ch.close()
        return [c.result() for c in consumers]

    lists = gosched.run(main)
    everything = Counter(item for got in lists for item in got)
    assert everything == Counter((w, i) for w, n in enumerate(per_sender) for i in range(n))
    for got in lists:
        for who in range(len(per_sender)):
            mine = [i for w, i in got if w == who]
            assert mine == sorted(mine)
