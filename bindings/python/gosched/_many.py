"""Many green threads at once: map and as_completed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from gosched import _gosched
from gosched._gosched import Cancelled, Chan, Closed, GreenThread

T = TypeVar("T")


def _give_up(greens: Iterable[GreenThread[Any]]) -> None:
    greens = list(greens)
    for green in greens:
        green.cancel()
    for green in greens:
        green._wait(True)


def map(
    fn: Callable[..., T], /, *iterables: Iterable[Any], limit: int | None = None
) -> Iterator[T]:
    """Calls fn with each item on a green thread of its own; gives the results in order.

        for page in gosched.map(fetch, urls, limit=100): ...

    limit: how many may be under way, or done and not yet taken, at once; None: all.  With several
    iterables fn gets one argument of each, as with the built-in map; they are read as needed.

    The first error, in order, is raised when its turn comes; what is still under way then, or when
    the iterator is closed, is cancelled and waited for.

    Raises ValueError if limit is not positive, TypeError if fn cannot be called or nothing was
    given to iterate over.
    """
    if not callable(fn):
        raise TypeError(f"gosched.map: fn must be callable, not {type(fn).__name__}")
    if not iterables:
        raise TypeError("gosched.map: at least one iterable is needed")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"gosched.map: limit is {limit!r}; it must be 1 or more, or None")
    return _map(fn, zip(*iterables, strict=False), limit)


def _map(fn: Callable[..., T], items: Iterator[tuple[Any, ...]], limit: int | None) -> Iterator[T]:
    under_way: deque[GreenThread[T]] = deque()
    try:
        more = True
        while more or under_way:
            while more and (limit is None or len(under_way) < limit):
                try:
                    arguments = next(items)
                except StopIteration:
                    more = False
                else:
                    under_way.append(_gosched.go(fn, *arguments))
            if under_way:
                yield under_way[0].result()
                under_way.popleft()
    finally:
        _give_up(under_way)


def as_completed(
    greens: Iterable[GreenThread[T]], timeout: float | None = None
) -> Iterator[GreenThread[T]]:
    """Gives green threads as they end, well or not, first the first.

        for g in gosched.as_completed([gosched.go(fetch, url) for url in urls]):
            print(g.result())

    timeout: seconds from the call for all of them, or None.  Raises TimeoutError when it is over;
    they run on.
    """
    waiting = dict.fromkeys(greens)  # each once, in order
    deadline = None if timeout is None else time.monotonic() + timeout
    return _as_completed(waiting, deadline)


def _as_completed(
    waiting: dict[GreenThread[T], Any], deadline: float | None
) -> Iterator[GreenThread[T]]:
    for green in [g for g in waiting if g.done()]:
        del waiting[green]
        yield green
    ended: Chan[GreenThread[T]] = Chan(len(waiting))

    def watch(green: GreenThread[T]) -> None:
        try:
            green._wait(False)
            ended.try_send(green)
        except (Cancelled, Closed):
            pass

    watchers = [_gosched.go(watch, green) for green in waiting]
    try:
        for _ in watchers:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                green = ended.recv(left)
            except TimeoutError:
                raise TimeoutError(
                    f"gosched.as_completed: {len(waiting)} green threads have not ended in time"
                ) from None
            del waiting[green]
            yield green
    finally:
        ended.close()
        for watcher in watchers:
            watcher.cancel()
