"""select and selectors under gosched.patch."""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import socket
import subprocess
import sys
import threading
import time

import gosched
import pytest
from conftest import until


@pytest.fixture(autouse=True)
def patched():
    with gosched.patch():
        yield


@pytest.fixture
def pairs():
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for each in pair:
            each.close()


def waits(green):
    until(lambda: green.state == "waiting")


def few_threads():
    now = gosched.stats()
    return now["threads"] - now["threads_idle"] < 20


def by_select(socks, timeout):
    read, write, other = select.select(socks, [], [], timeout)
    assert not write
    assert not other
    return read


def by_poll(socks, timeout):
    poll = select.poll()
    for each in socks:
        poll.register(each, select.POLLIN)
    found = poll.poll(None if timeout is None else timeout * 1000)
    return [s for s in socks if any(s.fileno() == fd for fd, _ in found)]


def by_epoll(socks, timeout):
    with select.epoll() as epoll:
        for each in socks:
            epoll.register(each, select.EPOLLIN)
        found = epoll.poll(timeout)
    assert epoll.closed
    return [s for s in socks if any(s.fileno() == fd for fd, _ in found)]


def by_selector(cls):
    def wait(socks, timeout):
        with cls() as selector:
            for each in socks:
                selector.register(each, selectors.EVENT_READ)
            return [key.fileobj for key, _ in selector.select(timeout)]

    return wait


WAYS = {
    "select": by_select,
    "poll": by_poll,
    "epoll": by_epoll,
    "SelectSelector": by_selector(selectors.SelectSelector),
    "PollSelector": by_selector(selectors.PollSelector),
    "EpollSelector": by_selector(selectors.EpollSelector),
    "DefaultSelector": by_selector(selectors.DefaultSelector),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.mark.parametrize("n", [1, 3])
def test_waiting(way, pairs, n):
    def main():
        mine = [a for a, _ in pairs[:n]]
        assert way(mine, 0) == []
        assert way(mine, 0.001) == []
        green = gosched.go(way, mine, None)
        waits(green)
        until(few_threads)
        pairs[n - 1][1].send(b"x")
        assert green.result(60) == [mine[-1]]
        assert way(mine, None) == [mine[-1]]
        assert way(mine, 60) == [mine[-1]]
        mine[-1].recv(1)
        green = gosched.go(way, mine, 60)
        waits(green)
        pairs[0][1].close()
        assert green.result(60) == [mine[0]]

    gosched.run(main)


def test_cancelled_and_timed_out(way, pairs):
    def main():
        mine = [a for a, _ in pairs]
        green = gosched.go(way, mine, None)
        waits(green)
        green.cancel()
        assert isinstance(green.exception(60), gosched.Cancelled)
        with pytest.raises(TimeoutError, match="took longer"), gosched.timeout(0.01):
            way(mine, 60)
        began = time.monotonic()
        assert way(mine, 0.02) == []
        assert time.monotonic() - began >= 0.02

    gosched.run(main)


def test_on_an_ordinary_thread(way, pairs):
    mine = [a for a, _ in pairs]
    assert way(mine, 0.001) == []
    threading.Timer(0.01, pairs[2][1].send, (b"x",)).start()
    assert way(mine, None) == [mine[2]]


def test_writing_and_both(pairs):
    def main():
        a, b = pairs[0]
        assert select.select([a], [a], [a]) == ([], [a], [])
        a.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                a.send(bytes(100_000))
        assert select.select([a], [a], [], 0.001) == ([], [], [])
        greens = [
            gosched.go(select.select, [a], [a], []),
            gosched.go(select.select, [a.fileno()], [], [a], 60),
        ]
        for g in greens:
            waits(g)
        b.send(b"x")
        assert greens[0].result(60) == ([a], [], [])
        assert greens[1].result(60) == ([a.fileno()], [], [])
        a.recv(1)
        green = gosched.go(select.select, [], iter([a]), [])
        waits(green)
        b.recv(10_000_000)
        assert green.result(60) == ([], [a], [])

    gosched.run(main)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: select.select(),
        lambda: select.select(1, [], []),
        lambda: select.select(["x"], [], []),
        lambda: select.select([], [], [], "soon"),
        lambda: select.select([], [], [], -1),
        lambda: select.select([10**6], [], [], 1),
        lambda: select.poll(1),
        lambda: select.poll().register("x"),
        lambda: select.poll().modify(0, 1),
        lambda: select.poll().unregister(0),
        lambda: select.poll().poll("soon"),
        lambda: select.poll().poll(10**30),
        lambda: select.poll().poll(2**31),
        lambda: select.poll().poll(float("nan")),
        lambda: select.select([], [], [], 1e300),
        lambda: select.select([], [], [], float("nan")),
        lambda: select.epoll().poll(2**31),
        lambda: select.epoll("x"),
        lambda: select.epoll(0),
        lambda: select.epoll().register(10**6),
        lambda: select.epoll().poll("soon"),
        lambda: select.epoll().poll(1, -2),
        lambda: select.epoll().poll(0, maxevents=0),
    ],
)
def test_errors_are_the_same(wrong):
    errors = []

    def main():
        with pytest.raises(Exception) as info:
            wrong()
        errors.append(info.type)

    gosched.run(main)
    gosched.unpatch()
    main()
    assert errors[0] is errors[1]


def test_what_is_no_socket(tmp_path):
    def main():
        r, w = os.pipe()
        path = tmp_path / "file"
        path.write_text("x")
        with path.open() as file:
            assert select.select([file, r], [], [], 60) == ([file], [], [])
            green = gosched.go(select.select, [r], [], [file], 60)
            waits(green)
            os.write(w, b"x")
            assert green.result(60) == ([r], [], [])
        os.close(r)
        with pytest.raises(OSError, match="Bad file descriptor"):
            select.select([r], [], [], 60)
        poll = select.poll()
        poll.register(r, select.POLLIN)
        assert poll.poll(60_000) == [(r, select.POLLNVAL)]
        os.close(w)

    gosched.run(main)


def test_lists_that_change_meanwhile():
    class Mutant:
        def __init__(self, objects):
            self.objects = objects

        def fileno(self):
            self.objects[5:] = []
            return 1

    def main():
        objects = []
        objects.extend(Mutant(objects) for _ in range(10))
        return select.select([], objects, []), objects

    (read, write, other), left = gosched.run(main)
    assert (read, other) == ([], [])
    assert len(left) == 5
    assert write in (left, [])


def test_nothing_to_wait_for():
    def main():
        assert select.select([], [], [], 0.001) == ([], [], [])
        assert select.poll().poll(1) == []
        assert select.epoll().poll(0.001) == []
        assert selectors.DefaultSelector().select(0.001) == []
        green = gosched.go(select.select, [], [], [])
        waits(green)
        green.cancel()
        assert isinstance(green.exception(60), gosched.Cancelled)

    gosched.run(main)


def test_closed_while_it_is_waited_for(pairs):
    def main():
        a, _b = pairs[0]
        fd = a.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        greens = [gosched.go(select.select, [fd], [], []), gosched.go(poll.poll)]
        for g in greens:
            waits(g)
        a.close()
        assert isinstance(greens[0].exception(60), OSError)
        assert greens[1].result(60) == [(fd, select.POLLNVAL)]
        epoll = select.epoll()
        green = gosched.go(epoll.poll)
        waits(green)
        epoll.close()
        assert isinstance(green.exception(60), ValueError)

    gosched.run(main)


def test_poll_and_epoll_objects(pairs):
    def main():
        a, b = pairs[0]
        poll = select.poll()
        poll.register(a)
        assert poll.poll() == [(a.fileno(), select.POLLOUT)]
        poll.modify(a, select.POLLIN)
        green = gosched.go(poll.poll)
        waits(green)
        b.send(b"x")
        assert green.result(60) == [(a.fileno(), select.POLLIN)]
        poll.unregister(a)
        assert poll.poll(1) == []

        epoll = select.epoll(sizehint=1, flags=select.EPOLL_CLOEXEC)
        epoll.register(a, eventmask=select.EPOLLIN)
        again = select.epoll.fromfd(epoll.fileno())
        assert again.poll(60) == [(a.fileno(), select.EPOLLIN)]
        epoll.modify(a, select.EPOLLOUT)
        assert epoll.poll(timeout=60, maxevents=1) == [(a.fileno(), select.EPOLLOUT)]
        epoll.unregister(a)
        assert epoll.poll(0.001) == []
        epoll.close()
        with pytest.raises(ValueError, match="closed epoll"):
            epoll.poll(1)

    gosched.run(main)


def test_selectors_made_before(pairs):
    """The classes were patched, so it does not matter when an object was made."""
    gosched.unpatch()
    selector = selectors.DefaultSelector()
    selector.register(pairs[0][0], selectors.EVENT_READ)
    gosched.patch()

    def main():
        green = gosched.go(selector.select)
        waits(green)
        pairs[0][1].send(b"x")
        assert len(green.result(60)) == 1

    gosched.run(main)
    selector.close()


def test_asyncio_loops_hold_no_thread():
    """Their selectors wait in the netpoller."""

    async def wait_for(event):
        await event.wait()
        return 7

    def loop(events, i):
        async def main():
            events[i] = asyncio.get_running_loop(), asyncio.Event()
            return await wait_for(events[i][1])

        return asyncio.run(main())

    def main():
        events = {}
        greens = [gosched.go(loop, events, i) for i in range(50)]
        until(lambda: len(events) == 50 and all(g.state == "waiting" for g in greens))
        until(few_threads)
        for its, event in events.values():
            its.call_soon_threadsafe(event.set)
        assert [g.result(60) for g in greens] == [7] * 50

    gosched.run(main)


def test_subprocess_communicates():
    def main():
        echo = [sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"]
        done = subprocess.run(
            echo, input="hello" * 50_000, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == "HELLO" * 50_000 + "\n"
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "60"], capture_output=True, timeout=0.05, check=False)

    gosched.run(main)
