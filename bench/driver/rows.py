"""What is measured, against what, and which ratio is wanted.

A row names gosched's side, a floor (what the machine costs without a scheduler), references, and
goals.  Every goal is held against a side that is measured in the same run.  Where the goal was set
against a system that is not among the sides (libdill, Tokio, Boost), it is carried over by that
system's distance from Go when both were measured on one machine, and its note says so.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field

from .stats import OURS, Goal, at_most, plus, times


@dataclass(frozen=True)
class Side:
    """One system's part of a row: a program of sides.py and what that program calls the row."""

    label: str
    program: str
    row: str
    slow: bool = False  # once in a run is enough, and --quick does without


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    ours: Side
    floor: Side | None = None
    references: tuple[Side, ...] = ()
    goals: tuple[Goal, ...] = ()
    events: bool = False  # each sample is one event: p50 and p99 instead of minimum and median
    cold: bool = False  # one sample a process: what is measured is the first time
    quantity: str = "time"  # or "rss" (peak, MiB) or "threads", of the same processes
    batch: str = ""  # rows of one batch share the sides they have in common; "": alone
    solo: bool = False  # one thread computes all the time: many short samples, compared by minima

    @property
    def sides(self) -> tuple[Side, ...]:
        """All sides, in the order in which a round takes them."""
        floor = () if self.floor is None else (self.floor,)
        return (*floor, self.ours, *self.references)


def c(row: str) -> Side:
    """gosched's side in C."""
    return Side(OURS, "c", row)


def go(row: str) -> Side:
    """Go's side."""
    return Side("Go", "go", row)


def purego(row: str) -> Side:
    """Go's without cgo."""
    return Side("purego", "purego", row)


def tokio(row: str) -> Side:
    """Tokio's side."""
    return Side("Tokio", "rust", row)


def floor(label: str, row: str) -> Side:
    """What the machine costs."""
    return Side(label, "c", row)


def call_rows() -> list[Row]:
    indirect, empty = floor("indirect call", "floor.call"), go("call.empty")
    rows = [
        Row(f"call.{name}", c(f"call.{name}"), indirect, (empty,), goals, batch="call", solo=True)
        for name, goals in (
            ("nosite", (times(0.15, "Go"),)),
            ("site", (times(0.15, "Go"),)),
            ("critical", ()),
        )
    ]
    rows += [
        Row(name, c(name), None, (go(other),), (times(limit, "Go"),), solo=True)
        for name, other, limit in (
            ("callback", "callback", 0.35),
            ("callback.ffi", "callback", 0.35),
            ("callback.foreign", "callback.foreign", 0.5),
        )
    ]
    for n in (0, 1, 4, 6, 8):
        others = (floor("ffi_call", f"floor.ffi{n}"), go(f"call.int{n}"), purego(f"call.int{n}"))
        goals = (times(0.3, "Go"), plus(12, "indirect call"))
        indirect = floor("indirect call", f"floor.int{n}")
        rows.append(Row(f"call.ffi{n}", c(f"call.ffi{n}"), indirect, others, goals, solo=True))
    return rows


def switch_rows() -> list[Row]:
    goals = {
        "yield.two": (times(0.14, "Go", note="1x libdill"),),
        "yield.ring": (times(1.5, "asm switch"),),
        "spawn.join.w1": (times(0.12, "Go"),),
        "spawn.join.w2": (times(0.12, "Go"),),
        "spawn.burst.w1": (times(0.5, "Go"),),
        "spawn.burst.w2": (times(0.5, "Go"),),
        "chan.w1": (times(0.25, "Go", note="0.9x libdill"),),
        "chan.w2": (times(0.57, "Go", note="0.7x Tokio"),),
        "buffered.w1": (times(0.52, "Go", note="0.6x Boost"),),
        "buffered.w2": (times(0.6, "Go"),),
        "select.four.w1": (times(0.5, "Go"),),
        "select.four.w2": (times(0.5, "Go"),),
        "mutex.eight.w1": (times(0.8, "Go"),),
        "mutex.eight.w2": (times(0.8, "Go"),),
    }
    line = floor("line there and back", "floor.line")
    floors = {
        "spawn.join.w2": line,
        "chan.w2": line,
        "buffered.w2": line,
        "mutex.eight.w2": line,
        "yield.two": floor("asm switch", "floor.switch.two"),
        "yield.ring": floor("asm switch", "floor.switch.ring"),
    }
    rows = [
        Row(
            name,
            c(name),
            floors.get(name),
            peers(name) if name.startswith("spawn.") else (go(name),),
            goal,
            solo=name.startswith("yield") or (name.endswith(".w1") and name != "spawn.burst.w1"),
        )
        for name, goal in goals.items()
    ]
    nanosleep = floor("nanosleep", "floor.sleep.1ms")
    sleep_goals = (times(1.2, "nanosleep"), times(1.2, "nanosleep", "high"))
    sleep = Row("sleep.1ms", c("sleep.1ms"), nanosleep, (go("sleep.1ms"),), sleep_goals, True)
    return [*rows, sleep]


def handoff_rows() -> list[Row]:
    unknown = (at_most(100), at_most(500, "high"))
    known = (at_most(10),)
    late = (at_most(1000),)
    table: list[tuple[str, str, tuple[Goal, ...]]] = [
        ("handoff.unknown", "backedoff", unknown),
        ("handoff.unknown.idle", "idle", unknown),
        ("handoff.unknown.burst", "burst", unknown),
        ("handoff.blocking", "backedoff", known),
        ("handoff.knownlong", "backedoff", known),
        ("handoff.knownshort", "backedoff", late),
        ("handoff.undeclared", "backedoff", late),
    ]
    return [
        Row(
            name,
            c(name),
            floor("futex wake", f"floor.wake.{state}"),
            (go(f"handoff.{state}"),),
            goals,
            events=True,
            batch="handoff",
        )
        for name, state, goals in table
    ]


def watch_rows() -> list[Row]:
    """What watching costs, and stopping the world."""
    return [
        Row("watch.noop", c("watch.noop"), goals=(at_most(1),)),
        Row("watch.sysmon", c("watch.sysmon"), goals=(at_most(5),)),
        Row("watch.stw", c("watch.stw"), None, (go("watch.stw"),)),
    ]


def spec_rows() -> list[Row]:
    """The figures of the specification, which are another machine's, as goals, beside ours."""
    indirect = floor("indirect call", "floor.call")
    untraced = Side("untraced", "untraced", "call.site")
    thread = floor("pthread_create", "spec.thread")
    return [
        # entersyscall 30 ns, exitsyscall 30 ns
        Row("spec.bracket", c("spec.bracket"), goals=(at_most(60),), solo=True),
        # to the system stack 10 ns, the function 1 ns, and back 10 ns
        Row("spec.switch", c("call.critical"), indirect, goals=(at_most(21),), solo=True),
        # a whole call, 80 to 150 ns
        Row("spec.call", c("call.site"), indirect, (go("call.empty"),), (at_most(80),), solo=True),
        Row("spec.exit.idle", c("spec.exit.idle"), solo=True),
        Row("spec.exit.slow", c("spec.exit.slow"), solo=True),
        # mget 0.1 us, and the wake of its thread 1 us
        Row(
            "spec.mget",
            c("handoff.blocking"),
            floor("futex wake", "floor.wake.backedoff"),
            goals=(at_most(1.1),),
            events=True,
        ),
        # newm 5 to 50 us, of that clone(2) as much
        Row("spec.newm", c("spec.newm"), thread, goals=(at_most(50),), events=True),
        Row("spec.thread", c("spec.thread"), goals=(at_most(50),), events=True),
        Row(
            "spec.notrace", c("call.site"), None, (untraced,), (times(1.02, "untraced"),), solo=True
        ),
        Row("spec.traced", c("spec.traced"), solo=True),
        # 100,000 green threads, in ms, and what others notice of it
        Row("spec.snapshot", c("spec.snapshot"), goals=(at_most(100),)),
        Row(
            "spec.snapshot.beside",
            c("spec.snapshot.beside"),
            None,
            (Side("without", "c", "spec.snapshot.alone"),),
        ),
    ]


def block_rows() -> list[Row]:
    rows = []
    for n, time_goal in (
        (1000, times(1, "Tokio")),
        (10000, times(1, "Tokio")),
    ):
        peers = (tokio(f"block.{n}"), go(f"block.{n}"))
        sides = (c(f"block.{n}"), floor("pthreads", f"floor.block.{n}"), peers)
        memory = (times(1, "Tokio"),)
        batch = f"block.{n}"
        rows += [
            Row(f"block.{n}", *sides, (time_goal,), cold=True, batch=batch),
            Row(f"block.{n}.rss", *sides, memory, cold=True, quantity="rss", batch=batch),
            Row(f"block.{n}.threads", sides[0], None, sides[2], (), False, True, "threads", batch),
        ]
        if n == 1000:
            hinted = (c("block.1000.hinted"), *sides[1:])
            rows.append(Row("block.1000.hinted", *hinted, (time_goal,), cold=True, batch=batch))
    return rows


def echo_rows() -> list[Row]:
    return [
        Row(
            f"echo.{n}",
            c(f"echo.{n}"),
            floor("epoll, 1 thread", f"floor.echo.{n}"),
            (go(f"echo.{n}"),),
            (times(0.667, "Go", note="1.5x its rate"),),
        )
        for n in (1, 100, 1000)
    ]


def many_rows() -> list[Row]:
    """Trees of green threads, many that sleep, what a parked one costs."""
    rows = [
        Row(f"{kind}.{procs}", c(f"{kind}.{procs}"), None, peers(f"{kind}.{procs}"), goal)
        for kind, goal in (
            ("forkjoin", (times(0.6, "Tokio"),)),
            ("skynet", (times(0.6, "Tokio"),)),
        )
        for procs in ("w1", "w2")
    ]
    rows.append(Row("sleep.100k", c("sleep.100k"), None, peers("sleep.100k"), (times(1, "Tokio"),)))
    rows += [
        Row(name, c(name), None, peers(name), (at_most(4600),), cold=True)
        for name in ("memory.parked.100k", "memory.parked.1M")
    ]
    return rows


def peers(row: str) -> tuple[Side, ...]:
    """Tokio's and Go's side of a row."""
    return (tokio(row), go(row))


def python_call_rows() -> list[Row]:
    api, abi = Side("cffi API", "calls", "cffi.api"), Side("cffi ABI", "calls", "cffi.abi")
    others = (Side("ctypes", "calls", "ctypes.bare"), Side("ctypes typed", "calls", "ctypes.typed"))
    goals = (times(1, "cffi API"), times(0.5, "cffi ABI"))
    side = Side(OURS, "gosched", "call.add")
    return [Row("py.call.add", side, None, (api, abi, *others), goals, solo=True)]


def python_switch_rows() -> list[Row]:
    def sides(row: str, *programs: str) -> tuple[Side, ...]:
        return tuple(
            Side("uvloop", "asyncio", f"{row}.uvloop")
            if program == "uvloop"
            else Side(program, program, row)
            for program in programs
        )

    def ours(row: str) -> Side:
        return Side(OURS, "gosched", row)

    return [
        Row(
            "py.spawn.join",
            ours("spawn.join"),
            None,
            sides("spawn.join", "uvloop", "asyncio", "gevent", "greenlet"),
            (times(0.2, "uvloop"),),
            solo=True,
        ),
        Row(
            "py.switch",
            ours("switch"),
            None,
            sides("switch", "greenlet", "uvloop", "gevent", "asyncio"),
            (times(0.6, "greenlet"),),
            solo=True,
        ),
        Row(
            "py.chan",
            ours("chan"),
            None,
            sides("chan", "gevent", "uvloop", "asyncio"),
            (times(0.2, "gevent"),),
            solo=True,
        ),
    ]


def tcl_rows() -> list[Row]:
    """Tcl beside a command in C, and beside package Thread."""

    def row(name: str, peer: str, *goals: Goal, **kinds: bool) -> Row:
        references = (Side(peer, "tcl.peer", name),) if peer else ()
        return Row(f"tcl.{name}", Side(OURS, "tcl.gosched", name), None, references, goals, **kinds)

    def block(n: int) -> list[Row]:
        ours, batch = Side(OURS, "tcl.gosched", f"block.{n}"), f"tcl{n}"
        pthreads = floor("pthreads", f"floor.block.{n}")
        tpool = (Side("tpool", "tcl.peer", f"block.{n}"),)
        name, goals = f"tcl.block.{n}", (times(1.2, "pthreads"), times(1, "tpool"))
        rows = [Row(name, ours, pthreads, tpool, goals, cold=True, batch=batch)]
        if n == 1000:
            sides, most = (ours, pthreads, tpool), (at_most(30),)
            rows.append(Row(f"{name}.rss", *sides, most, False, True, "rss", batch))
        return rows

    cffi = Side("tcl-cffi", "tcl.cffi", "call.add")
    command = Side("C command", "tcl.peer", "call.add")
    add = (times(0.6, "tcl-cffi"), times(2, "C command"))
    ours = Side(OURS, "tcl.gosched", "call.add")
    return [
        Row("tcl.call.add", ours, None, (cffi, command), add, solo=True),
        row("call.elsewhere", "thread::send", times(1, "thread::send")),
        *block(100),
        *block(1000),
        row("tick", "tpool", times(1, "tpool"), events=True),
        row("chan", ""),
        row("spawn.join", "", solo=True),
    ]


def shared_rows() -> list[Row]:
    """A message from one language to another, over a shared channel."""
    languages = ("c", "python", "lua", "tcl")
    send = Side("thread::send", "tcl.peer", "message")
    return [
        Row(
            f"shared.{one}.{other}",
            c(f"shared.{one}.{other}"),
            None,
            (send,) if (one, other) == ("tcl", "tcl") else (),
            (at_most(1000),),
        )
        for one in languages
        for other in languages
    ]


def python_beside_rows() -> list[Row]:
    """What waits and what computes, beside each other, without a word about it in the code."""

    def ours(row: str) -> Side:
        return Side(OURS, "gosched", row)

    def threads(row: str) -> Side:
        return Side("threads", "threads", row)

    rows = [
        Row(
            f"py.tick.{kind}",
            ours(f"tick.{kind}"),
            None,
            (threads(f"tick.{kind}"),),
            (at_most(limit, "high"),),
            events=True,
        )
        for kind, limit in (
            *((kind, 3) for kind in ("sleep", "ctypes", "psycopg2", "zlib")),
            *((f"burn{n}", (n + 2) * 5) for n in (1, 2, 4)),  # in switch intervals of 5 ms
        )
    ]
    rows += [
        Row(
            f"py.two.{kind}", ours(f"two.{kind}"), None, (threads(f"two.{kind}"),), (at_most(1.05),)
        )
        for kind in ("sha256", "zlib")
    ]
    untraced = Side("untraced", "gosched", "demo.untraced")
    rows.append(
        Row("py.demo.traced", ours("demo.traced"), None, (untraced,), (times(1.05, "untraced"),))
    )
    rows.append(Row("py.two.lua", ours("two.lua"), goals=(at_most(2 / 1.8),)))
    rows.append(Row("py.handoff", ours("handoff"), goals=(at_most(500),), events=True))
    asyncpg = Side("asyncpg", "asyncio", "pg.asyncpg")
    near = (plus(3, "asyncpg"),)
    also = threads("pg.psycopg2")
    rows.append(Row("py.pg.psycopg2", ours("pg.psycopg2"), None, (asyncpg, also), near))
    rows.append(Row("py.pg.libpq", ours("pg.libpq"), None, (asyncpg,), near))
    pool = Side("ThreadPoolExecutor", "threads", "offload")
    peers = (
        pool,
        Side("asyncio.to_thread", "asyncio", "offload"),
        Side("uvloop to_thread", "asyncio", "offload.uvloop"),
        Side("gevent ThreadPool", "gevent", "offload"),
    )
    goal = (times(0.05, pool.label),)
    rows.append(Row("py.offload", ours("offload"), None, peers, goal))
    parked = (Side("asyncio", "asyncio", "parked"), Side("gevent", "gevent", "parked"))
    for row in ("parked", "parked.1MiB"):
        rows.append(Row(f"py.{row}", ours(row), None, parked, (at_most(8704),), cold=True))
    return rows


def python_block_rows() -> list[Row]:
    rows = []
    limits = {100: 1.03, 1000: 1.08}
    most = Side(OURS, "gosched", "block.10000.usleep")
    pthreads = floor("pthreads", "floor.block.10000")
    goal = (times(1.1, "pthreads"),)
    rows.append(Row("py.block.10000.usleep", most, pthreads, (), goal, cold=True, batch="py10000"))
    rows.append(Row("py.block.10000.threads", most, cold=True, quantity="threads", batch="py10000"))
    for kind in ("usleep", "sleep"):
        for n, limit in limits.items():
            row = f"block.{n}.{kind}"
            references = [
                Side("ThreadPoolExecutor(N)", "threads", row),
                Side("gevent ThreadPool(N)", "gevent", row),
                Side("asyncio.to_thread(N)", "asyncio", row),
                Side("threading.Thread", "threads", row.replace("block", "thread", 1)),
            ]
            if kind == "usleep":
                stock = row.replace("block", "stock", 1)
                references.append(Side("asyncio.to_thread", "asyncio", stock, slow=n == 1000))
            pthreads = floor("pthreads", f"floor.block.{n}")
            side = Side(OURS, "gosched", row)
            goals = (times(limit, "pthreads"),)
            rows.append(Row(f"py.{row}", side, pthreads, tuple(references), goals, cold=True))
    return rows


def lua_ffi_rows() -> list[Row]:
    """Lua's calls of C, and its access to C data."""

    def side(label: str, row: str) -> Side:
        return Side(label, "lua_ffi", row)

    def row(name: str, floor: Side | None, *goals: Goal) -> Row:
        references = (side("cffi-lua", f"cffi.{name}"),)
        return Row(
            f"lua.call.{name}", side(OURS, f"gosched.{name}"), floor, references, goals, solo=True
        )

    return [
        row("add", side("C module", "module.add"), times(0.6, "cffi-lua")),
        row("text", None, times(0.6, "cffi-lua")),
        row("field", None, times(1, "cffi-lua")),
        row("store", None, times(1, "cffi-lua")),
    ]


def lua_green_rows() -> list[Row]:
    """Green threads of one Lua state."""

    def side(label: str, row: str) -> Side:
        return Side(label, "lua_green", row)

    def row(name: str, *references: str, goals: tuple[Goal, ...] = (), solo: bool = True) -> Row:
        sides = tuple(side(label, f"{label}.{name}") for label in references)
        return Row(f"lua.{name}", side(OURS, f"gosched.{name}"), None, sides, goals, solo=solo)

    return [
        row("switch", "coroutine", "cqueues", goals=(times(1.2, "coroutine"),)),
        row("spawn", "coroutine", "cqueues", goals=(times(2, "coroutine"),)),
        row("message", "cqueues", goals=(at_most(150),)),
        row("message.text"),
        row("message.way", goals=(at_most(150),)),
        row("offload", "module", "luv"),
        row("offload.beyond", "module", "luv", goals=(times(0.05, "luv"),)),
        *(
            Row(
                f"lua.block.{n}",
                side(OURS, f"gosched.block.{n}"),
                floor("pthreads", f"floor.block.{n}"),
                goals=(times(1.1, "pthreads"),),
                cold=True,
            )
            for n in (100, 1000)
        ),
    ]


def lua_state_rows() -> list[Row]:
    """Messages between two Lua states that run in parallel."""

    def side(label: str, row: str) -> Side:
        return Side(label, "lua_states", row)

    def row(name: str, *goals: Goal) -> Row:
        lanes = (side("lanes", f"lanes.{name}"),)
        return Row(f"lua.{name}", side(OURS, f"gosched.{name}"), None, lanes, goals)

    return [row("states", times(0.2, "lanes")), row("stream", times(0.2, "lanes"))]


def lua_plain_rows() -> list[Row]:
    """Programs that compute, inside gosched.run and without the module."""

    def side(label: str, row: str) -> Side:
        return Side(label, "lua_plain", row)

    return [
        Row(
            f"lua.plain.{name}",
            side(OURS, f"gosched.{name}"),
            None,
            (side("plain", f"plain.{name}"),),
            (times(1.01, "plain"),),
            solo=True,
        )
        for name in ("calls", "tables", "strings")
    ]


ROWS: list[Row] = [
    *call_rows(),
    *switch_rows(),
    *handoff_rows(),
    *watch_rows(),
    *spec_rows(),
    *block_rows(),
    *many_rows(),
    *echo_rows(),
    *python_call_rows(),
    *python_switch_rows(),
    *python_beside_rows(),
    *python_block_rows(),
    *tcl_rows(),
    *shared_rows(),
    *lua_ffi_rows(),
    *lua_green_rows(),
    *lua_state_rows(),
    *lua_plain_rows(),
]


class UnknownRowError(ValueError):
    """A name on the command line that no row has."""


def select(names: Sequence[str]) -> list[Row]:
    """The rows that are named: by their whole name, by its beginning up to a dot, or by a pattern
    with * and ?.  No names: all rows.
    """
    chosen: dict[str, Row] = {}
    for name in names:
        found = [
            row
            for row in ROWS
            if row.name == name
            or row.name.startswith(name + ".")
            or fnmatch.fnmatchcase(row.name, name)
        ]
        if not found:
            groups = sorted({row.name.split(".")[0] for row in ROWS})
            raise UnknownRowError(
                f"no row is called {name!r}; accepted are the names that --list prints, "
                f"their beginnings ({', '.join(groups)}) and patterns such as 'py.block.*'"
            )
        chosen.update((row.name, row) for row in found)
    return [row for row in ROWS if not names or row.name in chosen]


@dataclass
class Batch:
    """Rows that are measured together, because they share sides."""

    rows: list[Row] = field(default_factory=list)

    @property
    def sides(self) -> list[Side]:
        """Each side once, in the order of the rows."""
        return list(dict.fromkeys(side for row in self.rows for side in row.sides))

    @property
    def cold(self) -> bool:
        """Whether each process gives one sample only."""
        return any(row.cold for row in self.rows)

    @property
    def solo(self) -> bool:
        """Whether all that is measured is one thread that computes."""
        return all(row.solo for row in self.rows)


def batches(rows: Sequence[Row]) -> list[Batch]:
    """The rows, those of one batch together."""
    grouped: dict[str, Batch] = {}
    for row in rows:
        grouped.setdefault(row.batch or row.name, Batch()).rows.append(row)
    return list(grouped.values())
