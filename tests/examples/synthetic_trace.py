"""Makes a trace as the scheduler would write it, from a small simulation of one P.

The simulation is the machinery in miniature: one P runs green threads that alternate between their
own code and a foreign call.  A call that lasts longer than a tick loses the P, which goes to
another M, and its M keeps blocking; when the call ends, its green thread queues for the P again.
Everything is computed from a fixed seed, so the trace is the same every time.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from typing import Any

KINDS = {  # name: (function, own code in microseconds, call in microseconds)
    "sqlite": ("sqlite3_step", (150, 500), (9_000, 16_000)),
    "zlib": ("compress2", (300, 900), (3_000, 7_000)),
    "usleep": ("usleep", (80, 160), (15_000, 15_200)),
    "names": ("getaddrinfo", (100, 300), (60, 400)),
}
TICK = 60.0  # microseconds until a call loses its P


def make(greens: int = 10, until: float = 80_000.0, seed: int = 7) -> dict[str, Any]:
    """A trace of `greens` green threads and a 10 ms ticker over `until` microseconds."""
    rng = random.Random(seed)
    names = {1: "main", 2: "ticker"}
    kinds = {}
    for g in range(3, 3 + greens):
        kind = list(KINDS)[(g - 3) % len(KINDS)]
        names[g], kinds[g] = f"{kind} {(g - 3) // len(KINDS) + 1}", kind

    events: list[dict[str, Any]] = []
    queue: list[tuple[float, int, int]] = []  # time a green thread becomes runnable, order, g
    for order, g in enumerate([*kinds, 2]):
        heapq.heappush(queue, (0.0, order, g))
    order = len(queue)
    blocked_until = {0: 0.0}  # M: when its foreign call ends
    current, now = 0, 0.0

    def slice_(cat: str, name: str, m: int, start: float, end: float, **args: Any) -> None:
        times = {"ts": round(start, 3), "dur": round(end - start, 3)}
        events.append(
            {"ph": "X", "pid": 1, "tid": m, "cat": cat, "name": name, **times, "args": args}
        )

    while now < until:
        ready, _, g = heapq.heappop(queue)
        now = max(now, ready)
        start = now
        if kinds.get(g) is None:
            now += 25.0
            slice_("g", f"G{g} {names[g]}", current, start, now, g=g)
            heapq.heappush(queue, (start + 10_000.0, order, g))
        else:
            function, own, call = KINDS[kinds[g]]
            now += rng.uniform(*own)
            length = rng.uniform(*call)
            enter, leave = now, now + length
            taken = length > TICK
            slice_("call", function, current, enter, leave, g=g, retaken=taken)
            slice_("g", f"G{g} {names[g]}", current, start, leave, g=g)
            now = leave
            if taken:
                known_long = function in ("usleep", "sqlite3_step") and enter > 20_000
                now = enter + (1.0 if known_long else TICK)
                blocked_until[current] = leave
                free = [m for m, end in blocked_until.items() if end <= now]
                target = min(free) if free else max(blocked_until) + 1
                blocked_until.setdefault(target, 0.0)
                args = {"p": 0, "domain": "python", "from": current, "to": target}
                event = {"ph": "i", "s": "t", "pid": 1, "tid": current, "cat": "sched"}
                name = "handoff" if known_long else "retake"
                events.append({**event, "name": name, "ts": round(now, 3), "args": args})
                current = target
            heapq.heappush(queue, (leave, order, g))
        order += 1

    threads = [
        {"ph": "M", "pid": 1, "tid": m, "name": "thread_name", "args": {"name": f"M{m}"}}
        for m in sorted(blocked_until)
    ]
    other = {"program": "synthetic"}
    return {"traceEvents": threads + events, "displayTimeUnit": "ns", "otherData": other}


if __name__ == "__main__":
    json.dump(make(), sys.stdout)
