"""Three languages in one process, each with what it is good at, on real input.

    Python  reads the records of the machine's package database, and loads rows into SQLite through
            foreign calls to libsqlite3, in one transaction
    Lua     makes rows of records, by a script of the user's (rules.lua), in parallel
    Tcl     shows how far they are, and lets the user cancel

They meet on channels, all of which have a limit: if SQLite is slow, Lua waits, and then Python's
reader does.  A cancellation interrupts the SQL that runs (sqlite3_interrupt) and rolls back.

    ./dev demo polyglot                     lines in the terminal, and a picture of what ran where
    ./dev demo polyglot --window            a window with a button, where there is a display
    python examples/polyglot/polyglot.py --input FILE --database FILE --rules FILE.lua
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gosched

HERE = Path(__file__).resolve().parent
DATABASE = "/var/lib/dpkg/status"

SQLITE = """
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
int sqlite3_open(const char *path, sqlite3 **db);
int sqlite3_close(sqlite3 *db);
int sqlite3_exec(sqlite3 *db, const char *sql, void *callback, void *arg, char **error);
int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **out, const char **tail);
int sqlite3_bind_text(sqlite3_stmt *s, int i, const char *text, int n, void *destructor);
int sqlite3_bind_int64(sqlite3_stmt *s, int i, long long value);
int sqlite3_step(sqlite3_stmt *s);
int sqlite3_reset(sqlite3_stmt *s);
int sqlite3_finalize(sqlite3_stmt *s);
long long sqlite3_column_int64(sqlite3_stmt *s, int i);
const char *sqlite3_column_text(sqlite3_stmt *s, int i);
const char *sqlite3_errmsg(sqlite3 *db);
void sqlite3_interrupt(sqlite3 *db);
int sqlite3_get_autocommit(sqlite3 *db);
void sqlite3_progress_handler(sqlite3 *db, int steps, int (*handler)(void *), void *arg);
"""
ROW, DONE = 100, 101
COPY = -1  # SQLITE_TRANSIENT: sqlite copies what is bound

# How alike the names of two packages are, for every pair of a section: it takes its time.
PAIRS = """
create table pairs as
select a.name as one, b.name as other, a.section as section from packages a join packages b
on a.section = b.section and a.name < b.name
where instr(b.name, substr(a.name, 1, 5)) = 1 and length(a.name) * length(b.name) % 7 < 6
"""


COLUMNS = ("name", "section", "kind", "kib", "depends")


class Sqlite:
    """A database, used by foreign calls: while one of them works, everybody else goes on."""

    def __init__(self, path: str) -> None:
        short = ["sqlite3_bind_text", "sqlite3_bind_int64", "sqlite3_reset", "sqlite3_errmsg",
                 "sqlite3_column_int64", "sqlite3_column_text", "sqlite3_interrupt"]  # fmt: skip
        self.lib: Any = gosched.dlopen("libsqlite3.so.0", SQLITE, critical=short)
        self.ffi = gosched.ffi(self.lib)
        out = self.ffi.new("sqlite3 **")
        self.check(self.lib.sqlite3_open(os.fsencode(path), out))
        self.db = out[0]
        # Whoever cancels a green thread that is in one of these makes sqlite return.
        self.exec = gosched.bind(self.lib.sqlite3_exec, unblock=self.stop)
        self.step = gosched.bind(self.lib.sqlite3_step, unblock=self.stop)
        # sqlite3_interrupt means nothing to SQL that begins a moment later, so that one asks.
        self.stopped = False
        self.asks = gosched.callback("int(void *)", lambda _: int(self.stopped))
        self.lib.sqlite3_progress_handler(self.db, 100_000, self.asks, self.ffi.NULL)

    def stop(self, *_: object) -> None:
        self.stopped = True
        self.lib.sqlite3_interrupt(self.db)

    def check(self, code: int) -> None:
        if code not in (0, ROW, DONE):
            raise RuntimeError(self.ffi.string(self.lib.sqlite3_errmsg(self.db)).decode())

    def run(self, sql: str) -> None:
        null = self.ffi.NULL
        self.check(self.exec(self.db, sql.encode(), null, null, null))

    def insert(self, statement: Any, values: list[object]) -> None:
        for i, value in enumerate(values, 1):
            if isinstance(value, int):
                self.lib.sqlite3_bind_int64(statement, i, value)
            else:
                text = str(value).encode()
                self.lib.sqlite3_bind_text(
                    statement, i, text, len(text), self.ffi.cast("void *", COPY)
                )
        self.check(self.step(statement))
        self.lib.sqlite3_reset(statement)

    @contextlib.contextmanager
    def prepared(self, sql: str) -> Iterator[Any]:
        out = self.ffi.new("sqlite3_stmt **")
        self.check(self.lib.sqlite3_prepare_v2(self.db, sql.encode(), -1, out, self.ffi.NULL))
        try:
            yield out[0]
        finally:
            self.lib.sqlite3_finalize(out[0])

    def number(self, sql: str) -> int:
        with self.prepared(sql) as statement:
            self.check(self.step(statement))
            return int(self.lib.sqlite3_column_int64(statement, 0))

    def close(self) -> None:
        self.lib.sqlite3_close(self.db)


def stanzas(path: Path) -> Iterator[dict[str, str]]:
    """The records of a file such as dpkg's: fields by line, a blank line between records."""
    record: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                if record:
                    yield record
                record = {}
            elif not line[0].isspace():
                name, _, value = line.partition(":")
                record[name] = value.strip()
    if record:
        yield record


class Pipeline:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.records = gosched.shared("polyglot.records", 64)
        self.rows = gosched.shared("polyglot.rows", 64)
        self.progress = gosched.shared("polyglot.progress", 16)
        self.control = gosched.shared("polyglot.control", 1)
        self.all = sum(1 for _ in stanzas(options.input))

    def tell(self, phase: str, done: int, important: bool = False) -> None:
        """For the screen.  What comes too fast for it is left out."""
        news = [phase, done, self.all]
        if important:
            self.progress.send(news)
        else:
            with contextlib.suppress(gosched.WouldBlock):
                self.progress.try_send(news)

    def read(self) -> None:
        for record in stanzas(self.options.input):
            self.records.send(record)
        self.records.close()

    def load(self, db: Sqlite) -> None:
        """Everything or nothing."""
        db.run("begin immediate")
        try:
            db.run(f"create table packages({', '.join(COLUMNS)})")
            with db.prepared("insert into packages values(?, ?, ?, ?, ?)") as statement:
                for n, row in enumerate(self.rows, 1):
                    db.insert(statement, [row[name] for name in COLUMNS])
                    self.tell("loading", n)
            self.tell("sql", self.all, important=True)
            db.run(self.options.sql)
            with gosched.shield():  # who cancels now is too late
                db.run("commit")
        except BaseException:
            db.stopped = False
            with gosched.shield():  # also while this green thread is being cancelled
                # Where sqlite was interrupted while it wrote, it has done that already.
                if not db.lib.sqlite3_get_autocommit(db.db):
                    db.run("rollback")
            raise

    def listen(self, work: gosched.GreenThread) -> None:
        if next(iter(self.control), None) == "cancel":
            work.cancel()

    def watch(self, guest: gosched.Guest, work: gosched.GreenThread) -> None:
        """Without rows there is nothing to load."""
        if guest.exception() is not None:
            work.cancel()

    def main(self) -> int:
        options = self.options
        tcl = gosched.embed("tcl", (HERE / "progress.tcl").read_text(), name="progress.tcl",
                            args=options.screen)  # fmt: skip
        lua = gosched.embed("lua", (HERE / "transform.lua").read_text(), name="transform.lua",
                            args=[str(options.rules)])  # fmt: skip
        db = Sqlite(str(options.database))
        reader = gosched.go(self.read)
        loader = gosched.go(self.load, db)
        helpers = [
            reader,
            gosched.go(self.listen, loader),
            gosched.go(self.watch, lua, loader),
        ]
        try:
            error = loader.exception()
            if error is None:
                self.tell("done", self.all, important=True)
        finally:
            for green in helpers:
                green.cancel()
                green.join()
            lua.cancel()  # which has ended, unless something has gone wrong
            lua.join()
            for channel in (self.progress, self.control, self.records, self.rows):
                channel.close()
        tcl.join()
        if isinstance(lua.exception(), gosched.GuestError):
            lua.result()
        if isinstance(error, gosched.Cancelled):
            tables = db.number("select count(*) from sqlite_master")
            print(f"cancelled; rolled back, {tables} tables are left")
            return 3
        if error is not None:
            raise error
        print(f"Lua took {lua.result()} records")
        print(f"{db.number('select count(*) from packages')} packages, "
              f"{db.number('select count(*) from pairs')} pairs of like names")  # fmt: skip
        db.close()
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--input", type=Path, default=Path(DATABASE))
    parser.add_argument("--database", type=Path, help="SQLite's file; none: a temporary one")
    parser.add_argument("--rules", type=Path, default=HERE / "rules.lua")
    parser.add_argument("--sql", default=PAIRS, help="what is done with the rows at the end")
    parser.add_argument("--window", action="store_true", help="a window, where there is a display")
    parser.add_argument("--cancel", metavar="PHASE", help="for scripts: cancel when it begins")
    parser.add_argument("--picture", type=Path, help="what ran where, as SVG")
    options = parser.parse_args()
    if not options.input.exists():
        parser.error(f"{options.input} does not exist; --input names a file of such records")
    options.screen = ["-window"] if options.window else []
    if options.cancel:
        options.screen += ["-cancel", options.cancel]
    with tempfile.TemporaryDirectory() as folder:
        options.database = options.database or Path(folder, "packages.db")
        trace = Path(folder, "trace.json")
        traced = gosched.trace(str(trace)) if options.picture else contextlib.nullcontext()

        def run() -> int:
            with traced:
                return Pipeline(options).main()

        status = gosched.run(run)
        if options.picture:
            from gosched import timeline

            timeline.main([str(trace), "-o", str(options.picture)])
            print(f"what ran where: {options.picture}")
    return status


if __name__ == "__main__":
    sys.exit(main())
