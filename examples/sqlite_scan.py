"""Scans one SQLite file from many connections at once: python examples/sqlite_scan.py [ROWS].

SQLite's C library computes and reads files; it knows nothing of green threads.  Each scan has a
connection and a green thread of its own, so scans run on as many CPUs as there are, and the green
thread that prints a dot every 10 ms is not held up by them.
"""

import os
import sys
import tempfile
from typing import Any

import gosched

lib = gosched.dlopen(
    "libsqlite3.so.0",
    """
    typedef struct sqlite3 sqlite3;
    typedef struct sqlite3_stmt sqlite3_stmt;
    int sqlite3_open(const char *, sqlite3 **);
    int sqlite3_close_v2(sqlite3 *);
    int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **);
    int sqlite3_prepare_v2(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
    int sqlite3_step(sqlite3_stmt *);
    long long sqlite3_column_int64(sqlite3_stmt *, int);
    int sqlite3_finalize(sqlite3_stmt *);
    const char *sqlite3_errmsg(sqlite3 *);
    """,
)
ffi = gosched.ffi(lib)
NULL, ROW, SCANS = ffi.NULL, 100, 20


def connect(path: str) -> Any:
    """A connection to the file."""
    out = ffi.new("sqlite3 **")
    lib.sqlite3_open(os.fsencode(path), out)
    return out[0]


def check(db: Any, status: int, wanted: int = 0) -> None:
    """Raises what SQLite has to say if the status is not the one wanted."""
    if status != wanted:
        raise RuntimeError(ffi.string(lib.sqlite3_errmsg(db)).decode())


def scan(path: str, digit: int) -> int:
    """Counts the rows whose word ends in a digit: reads the whole table."""
    db, out = connect(path), ffi.new("sqlite3_stmt **")
    query = f"select count(*) from entry where word like '%{digit}'"
    check(db, lib.sqlite3_prepare_v2(db, query.encode(), -1, out, NULL))
    check(db, lib.sqlite3_step(out[0]), ROW)
    count: int = lib.sqlite3_column_int64(out[0], 0)
    lib.sqlite3_finalize(out[0])
    lib.sqlite3_close_v2(db)
    return count


def dots() -> None:
    """Shows that nobody is held up."""
    while True:
        print(".", end="", flush=True)
        gosched.sleep(0.01)


def main(rows: int) -> None:
    """Makes the file, scans it 20 times at once, counts every row twice."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "words.db")
        db = connect(path)
        numbers = (
            f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})"
        )
        script = (
            f"create table entry (word text); {numbers} insert into entry select 'word' || i from n"
        )
        check(db, lib.sqlite3_exec(db, script.encode(), NULL, NULL, NULL))
        lib.sqlite3_close_v2(db)
        ticker = gosched.go(dots)
        scans = [gosched.go(scan, path, i % 10) for i in range(SCANS)]
        total = sum(green.result() for green in scans)
        ticker.cancel()
        ticker.join()
        print(f"\n{SCANS} scans of {rows} rows at once found {total} rows")


if __name__ == "__main__":
    gosched.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
