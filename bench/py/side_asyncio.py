"""asyncio, by its own loop and by uvloop's: tasks, sleep(0), queues, to_thread.

Rows end in .uvloop where the loop is uvloop's.  Rows block.N.KIND give the loop a default executor
of N threads; stock.N.KIND leave the one it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import harness
import work

Runner = Callable[[Coroutine[Any, Any, float]], float]


def run_uvloop(main: Coroutine[Any, Any, float]) -> float:
    try:
        import uvloop
    except ImportError as error:
        main.close()
        harness.unmeasured(error)
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def do_nothing() -> None:
    pass


async def spawn(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(n):
        await asyncio.create_task(do_nothing())
    return time.perf_counter_ns() - start


async def take_turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def switch(n: int) -> float:
    turns = n // 2 + 1
    start = time.perf_counter_ns()
    await asyncio.gather(take_turns(turns), take_turns(turns))
    return (time.perf_counter_ns() - start) * n / (2 * turns)


async def round_trip(n: int) -> float:
    there: asyncio.Queue[int] = asyncio.Queue(1)
    back: asyncio.Queue[int] = asyncio.Queue(1)

    async def echo() -> None:
        for _ in range(n):
            await back.put(await there.get())

    task = asyncio.create_task(echo())
    start = time.perf_counter_ns()
    for i in range(n):
        await there.put(i)
        if await back.get() != i:
            raise RuntimeError(f"item {i} did not come back")
    elapsed = time.perf_counter_ns() - start
    await task
    return elapsed


def loop_row(runner: Runner, body: Callable[[int], Coroutine[Any, Any, float]]) -> harness.Row:
    return harness.Row(
        "ns", lambda options: harness.sample_loop(options, lambda n: runner(body(n)))
    )


async def call_in_threads(n: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    calls: list[Awaitable[object]] = [asyncio.to_thread(call) for _ in range(n)]
    await asyncio.gather(*calls)
    return time.perf_counter() - start


def wave(n: int, call: Callable[[], object]) -> float:
    async def main() -> float:
        start = time.perf_counter()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(n))
        await call_in_threads(n, call)
        elapsed = time.perf_counter() - start
        harness.threads_seen.look()
        return elapsed

    return asyncio.run(main())


def stock_wave(n: int, call: Callable[[], object]) -> float:
    async def main() -> float:
        elapsed = await call_in_threads(n, call)
        harness.threads_seen.look()
        return elapsed

    return asyncio.run(main())


async def offload(n: int) -> float:
    spin = work.spin_function()
    await asyncio.to_thread(spin, 1000)
    begun = time.perf_counter_ns()
    for _ in range(n):
        await asyncio.to_thread(spin, 1000)
    return time.perf_counter_ns() - begun


async def queries(conninfo: str, samples: int) -> list[float]:
    try:
        import asyncpg
    except ImportError as error:
        harness.unmeasured(error)
    words = dict(word.split("=", 1) for word in conninfo.split())
    host, user, name = (words[key].strip("'") for key in ("host", "user", "dbname"))
    connections = [
        await asyncpg.connect(host=host, user=user, database=name) for _ in range(work.QUERIES)
    ]
    found = []
    for _ in range(samples + 1):  # the first one prepares
        begun = time.perf_counter()
        await asyncio.gather(*(connection.fetch(work.QUERY) for connection in connections))
        found.append((time.perf_counter() - begun) * 1e3)
    for connection in connections:
        await connection.close()
    return found[1:]


def asyncpg_row(options: harness.Options) -> list[float]:
    with work.postgres() as conninfo:
        return asyncio.run(queries(conninfo, options.samples))


PARKED = 10_000


def parked(_options: harness.Options) -> list[float]:
    async def main() -> list[float]:
        gate = asyncio.Event()
        before = work.resident_bytes()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(PARKED)]
        await asyncio.sleep(0.01)
        each = (work.resident_bytes() - before) / PARKED
        gate.set()
        await asyncio.gather(*tasks)
        return [each]

    return asyncio.run(main())


if __name__ == "__main__":
    bodies = {"spawn.join": spawn, "switch": switch, "chan": round_trip}
    stock = harness.block_rows(stock_wave)
    harness.main(
        {
            **{name: loop_row(asyncio.run, body) for name, body in bodies.items()},
            **{f"{name}.uvloop": loop_row(run_uvloop, body) for name, body in bodies.items()},
            "offload": loop_row(asyncio.run, offload),
            "offload.uvloop": loop_row(run_uvloop, offload),
            "pg.asyncpg": harness.Row("ms", asyncpg_row),
            "parked": harness.Row("bytes", parked),
            **harness.block_rows(wave),
            **{name.replace("block", "stock", 1): row for name, row in stock.items()},
        }
    )
