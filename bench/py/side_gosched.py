"""gosched itself: green threads, yield, channels, foreign calls, blocking calls."""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import harness
import work

try:
    import gosched
except ImportError as error:
    harness.unmeasured(error)


def do_nothing() -> None:
    pass


def spawn(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(n):
        gosched.go(do_nothing).join()
    return time.perf_counter_ns() - start


def take_turns(n: int) -> None:
    for _ in itertools.repeat(None, n):
        gosched.yield_now()


def switch(n: int) -> float:
    turns = n // 2 + 1
    start = time.perf_counter_ns()
    first, second = gosched.go(take_turns, turns), gosched.go(take_turns, turns)
    first.join()
    second.join()
    return (time.perf_counter_ns() - start) * n / (2 * turns)


def round_trip(n: int) -> float:
    there, back = gosched.Chan(), gosched.Chan()

    def echo() -> None:
        for _ in range(n):
            back.send(there.recv())

    green = gosched.go(echo)
    start = time.perf_counter_ns()
    for i in range(n):
        there.send(i)
        if back.recv() != i:
            raise RuntimeError(f"item {i} did not come back")
    elapsed = time.perf_counter_ns() - start
    green.join()
    return elapsed


def call_add(n: int) -> float:
    start = time.perf_counter_ns()
    for _ in itertools.repeat(None, n):
        add(1, 2)
    return time.perf_counter_ns() - start


def add(a: int, b: int) -> int:
    """Stands in until load_add puts the foreign function in its place."""
    raise NotImplementedError


def load_add() -> None:
    global add
    library = gosched.dlopen(harness.target_library(), "int gsbench_add(int a, int b);")
    add = library.gsbench_add
    if add(1, 2) != 3:
        raise RuntimeError(f"add(1, 2) returned {add(1, 2)}")


def in_green_thread(measure: Callable[[], float]) -> float:
    """What measure returns, on a green thread that is not the main one: that one is locked to its
    OS thread, and hot work belongs elsewhere.
    """
    elapsed: float = gosched.go(measure).result()
    return elapsed


def loop_row(body: harness.Loop, set_up: Callable[[], None] = do_nothing) -> harness.Row:
    def main(options: harness.Options) -> list[float]:
        set_up()
        return harness.sample_loop(options, lambda n: in_green_thread(lambda: body(n)))

    return harness.Row("ns", lambda options: gosched.run(main, options))


def foreign_usleep() -> Callable[[], object]:
    usleep = gosched.dlopen(None, "int usleep(unsigned int usec);").usleep
    return lambda: usleep(int(harness.BLOCKING_SECONDS * 1e6))


def wave(n: int, call: Callable[[], object]) -> float:
    start = time.perf_counter()
    greens = [gosched.go(call) for _ in range(n)]
    for green in greens:
        green.join()
    elapsed = time.perf_counter() - start
    harness.threads_seen.look()
    return elapsed


def block_row(n: int, kind: str) -> harness.Row:
    def main() -> float:
        call = foreign_usleep() if kind == "usleep" else harness.blocking_call(kind)
        return wave(n, call)

    def measure(_options: harness.Options) -> Iterable[float]:
        return [gosched.run(main) * 1e3]

    return harness.Row("ms", measure)


def demo_row(traced: bool) -> harness.Row:
    """The work of ./dev demo on SQLite and zlib, a green thread each, beside its ticker.

    CPU time: the jobs compute, and what others do on the machine takes none of it.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
    from demolib import errors, libraries, runner

    def once(loads: list[libraries.Workload]) -> float:
        ticker = runner.Ticker()
        begun = time.process_time()
        greens = [gosched.go(load.job, i) for load in loads for i in range(load.greens)]
        for green in greens:
            green.join()
        elapsed = time.process_time() - begun
        ticker.stop()
        return elapsed * 1e3

    def main(options: harness.Options, directory: Path) -> list[float]:
        try:
            loads = [libraries.Sqlite(True, directory), libraries.Zlib(True)]
        except errors.Unavailable as error:
            harness.unmeasured(error)
        once(loads)
        if not traced:
            return [once(loads) for _ in range(options.samples)]
        with gosched.trace(directory / "trace.json"):
            return [once(loads) for _ in range(options.samples)]

    def measure(options: harness.Options) -> Iterable[float]:
        with tempfile.TemporaryDirectory() as directory:
            samples: list[float] = gosched.run(main, options, Path(directory))
            return samples

    return harness.Row("ms", measure)


def start(fn: Callable[[], object]) -> Callable[[], object]:
    return gosched.go(fn).result


def on_green_threads(measure: Callable[[], list[float]]) -> list[float]:
    return gosched.run(measure)


def offload(n: int) -> float:
    begun = time.perf_counter_ns()
    for _ in itertools.repeat(None, n):
        spin(1000)
    return time.perf_counter_ns() - begun


def spin(ns: int) -> int:
    """Stands in until load_spin puts the foreign function in its place."""
    raise NotImplementedError


def load_spin() -> None:
    global spin
    library = gosched.dlopen(harness.target_library(), "int gsbench_spin(int ns);")
    spin = library.gsbench_spin
    spin(1000)


def hand_off(options: harness.Options) -> list[float]:
    """Microseconds from an unpatched time.sleep to the first act of one that waits for its turn."""

    def sample() -> float:
        ran: list[int] = []
        end = time.monotonic() + 0.02
        while time.monotonic() < end:  # the scheduler's watch has grown drowsy
            pass
        other = gosched.go(lambda: ran.append(time.perf_counter_ns()))
        before = time.perf_counter_ns()
        time.sleep(0.02)
        other.join()
        return (ran[0] - before) / 1e3

    def main() -> list[float]:
        found = [gosched.go(sample).result() for _ in range(options.samples * 4)]
        return [us for us in found if us > 0]  # else it had its turn before

    return gosched.run(main)


PARKED = 10_000


def parked(stack_size: int) -> list[float]:
    """With stacks of so many bytes; 0: of what a green thread has by itself."""
    threading.stack_size(stack_size)

    def main() -> list[float]:
        gate = gosched.Chan[None]()
        before = work.resident_bytes()
        greens = [gosched.go(gate.recv) for _ in range(PARKED)]
        while any(g.state != "waiting" for g in greens):  # in whichever order they run
            gosched.sleep(0.001)
        each = (work.resident_bytes() - before) / PARKED
        gate.close()
        for g in greens:
            g.exception()
        return [each]

    return gosched.run(main)


LIBPQ = """
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
PGconn *PQconnectdb(const char *conninfo);
int PQstatus(const PGconn *connection);
PGresult *PQexec(PGconn *connection, const char *query);
int PQresultStatus(const PGresult *result);
void PQclear(PGresult *result);
void PQfinish(PGconn *connection);
"""


def libpq(options: harness.Options) -> list[float]:
    try:
        pq: Any = gosched.dlopen("libpq.so.5", LIBPQ)
    except gosched.FFIError as error:
        harness.unmeasured(error)

    def query(connection: Any) -> Callable[[], None]:
        def ask() -> None:
            result = pq.PQexec(connection, work.QUERY.encode())
            if pq.PQresultStatus(result) != 2:
                raise RuntimeError("the query failed")
            pq.PQclear(result)

        return ask

    def main(conninfo: str) -> list[float]:
        connections = [pq.PQconnectdb(conninfo.encode()) for _ in range(work.QUERIES)]
        if any(pq.PQstatus(connection) for connection in connections):
            harness.unmeasured("no connection to the PostgreSQL server")
        asks = [query(connection) for connection in connections]
        found = work.queries_at_once(start, asks, options.samples)
        for connection in connections:
            pq.PQfinish(connection)
        return found

    with work.postgres() as conninfo:
        return gosched.run(main, conninfo)


def count_in_lua() -> None:
    """A Lua interpreter of its own, which computes."""
    source = "local n = 0 for i = 1, 2e7 do if i % 7 == 0 then n = n + 1 end end return n"
    try:
        guest = gosched.embed("lua", source)
    except gosched.Error as error:
        harness.unmeasured(error)
    guest.result()


if __name__ == "__main__":
    harness.main(
        {
            **work.tick_rows(on_green_threads, start, gosched.sleep),
            **work.two_rows(on_green_threads, start, lua=count_in_lua),
            "pg.psycopg2": work.psycopg2_row(on_green_threads, start),
            "demo.traced": demo_row(traced=True),
            "demo.untraced": demo_row(traced=False),
            "pg.libpq": harness.Row("ms", libpq),
            "offload": loop_row(offload, load_spin),
            "handoff": harness.Row("us", hand_off),
            "parked": harness.Row("bytes", lambda _options: parked(0)),
            "parked.1MiB": harness.Row("bytes", lambda _options: parked(1 << 20)),
            "block.10000.usleep": block_row(10_000, "usleep"),
            "call.add": loop_row(call_add, load_add),
            "spawn.join": loop_row(spawn),
            "switch": loop_row(switch),
            "chan": loop_row(round_trip),
            **{
                f"block.{n}.{kind}": block_row(n, kind)
                for n in (100, 1000)
                for kind in ("usleep", "sleep")
            },
        }
    )
