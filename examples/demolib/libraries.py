"""What the demo does with each C library of the machine.

Every class here is one workload: it loads a library with ``gosched.dlopen`` and has a method
``job(i)`` that one green thread runs.  A job returns plain values that depend on nothing but `i`,
so that the same job can be run again, alone, and must give the same.  ``check`` looks at the
results as a whole: that compressed files decompress, that the scans saw every row once.

Nothing in a job knows about green threads.  The calls block as they do in C.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sysconfig
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gosched

from .errors import Mismatch, Unavailable


class Workload(ABC):
    """One library, called by `greens` green threads, `calls` times each."""

    library: str  # what is loaded
    what: str  # what one call does
    greens: int
    calls: int
    sample: int  # how many jobs are run again one after another

    @abstractmethod
    def job(self, i: int) -> Any:
        """The i-th green thread's work, 0 <= i < greens."""

    @abstractmethod
    def check(self, results: Sequence[Any]) -> None:
        """Raises Mismatch if the results of all jobs do not add up."""

    def _load(self, declarations: str) -> Any:
        try:
            return gosched.dlopen(self.library, declarations)
        except (gosched.Error, OSError) as error:
            raise Unavailable(f"{self.library} cannot be loaded ({error})") from error


class Usleep(Workload):
    """libc: the plainest call that blocks."""

    library = "libc.so.6"

    def __init__(self, quick: bool) -> None:
        self.greens, self.calls, self.sample = (100, 2, 3) if quick else (400, 5, 4)
        self.microseconds = 20_000 if quick else 50_000
        self.what = f"usleep of {self.microseconds // 1000} ms"
        self.libc = self._load("int usleep(unsigned int usec);")

    def job(self, i: int) -> Any:
        return [self.libc.usleep(self.microseconds) for _ in range(self.calls)]

    def check(self, results: Sequence[Any]) -> None:
        if any(status != 0 for statuses in results for status in statuses):
            raise Mismatch("usleep failed")


class Sqlite(Workload):
    """libsqlite3: every green thread scans a whole table on a connection of its own."""

    library = "libsqlite3.so.0"
    declarations = """
        typedef struct sqlite3 sqlite3;
        typedef struct sqlite3_stmt sqlite3_stmt;
        int sqlite3_open_v2(const char *filename, sqlite3 **db, int flags, const char *vfs);
        int sqlite3_close_v2(sqlite3 *db);
        int sqlite3_exec(sqlite3 *db, const char *sql, void *callback, void *arg, char **message);
        int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **statement,
                               const char **tail);
        int sqlite3_bind_int(sqlite3_stmt *statement, int parameter, int value);
        int sqlite3_step(sqlite3_stmt *statement);
        long long sqlite3_column_int64(sqlite3_stmt *statement, int column);
        double sqlite3_column_double(sqlite3_stmt *statement, int column);
        const unsigned char *sqlite3_column_text(sqlite3_stmt *statement, int column);
        int sqlite3_finalize(sqlite3_stmt *statement);
        const char *sqlite3_errmsg(sqlite3 *db);
    """
    # A table scan: it reads pages and computes, and takes no lock that other connections want.
    query = b"""
        select count(*), sum(amount), avg(amount), max(customer) from sale where product % ?1 = ?2
    """
    _ok, _row, _read_only, _read_write_create, _no_mutex = 0, 100, 1, 6, 0x8000

    def __init__(self, quick: bool, directory: Path) -> None:
        self.greens, self.calls, self.sample = (40, 1, 8) if quick else (200, 1, 30)
        self.rows = 50_000 if quick else 200_000
        self.what = f"scan of {self.rows:,} rows"
        self.lib = self._load(self.declarations)
        self.ffi = gosched.ffi(self.lib)
        self.path = os.fsencode(directory / "sales.db")
        self._create()

    def _open(self, flags: int) -> Any:
        out = self.ffi.new("sqlite3 **")
        status = self.lib.sqlite3_open_v2(self.path, out, flags | self._no_mutex, self.ffi.NULL)
        self._expect(out[0], status, self._ok)
        return out[0]

    def _expect(self, db: Any, status: int, wanted: int) -> None:
        if status != wanted:
            message = self.ffi.string(self.lib.sqlite3_errmsg(db)).decode()
            raise Mismatch(f"SQLite gave status {status}, not {wanted}: {message}")

    def _create(self) -> None:
        """Makes the database file: one table of sales, filled by the library itself."""
        statements = f"""
            pragma journal_mode = off;
            pragma synchronous = off;
            create table sale (id integer primary key, product int, customer text, amount real);
            begin;
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {self.rows})
            insert into sale select i, (i * 7919) % 1009, 'customer ' || ((i * 31) % 5003),
                                    (i % 997) / 8.0 from n;
            commit;
        """
        db = self._open(self._read_write_create)
        null = self.ffi.NULL
        status = self.lib.sqlite3_exec(db, statements.encode(), null, null, null)
        self._expect(db, status, self._ok)
        self.lib.sqlite3_close_v2(db)

    def job(self, i: int) -> Any:
        lib, null = self.lib, self.ffi.NULL
        db = self._open(self._read_only)
        out = self.ffi.new("sqlite3_stmt **")
        self._expect(db, lib.sqlite3_prepare_v2(db, self.query, -1, out, null), self._ok)
        statement = out[0]
        lib.sqlite3_bind_int(statement, 1, self.greens)
        lib.sqlite3_bind_int(statement, 2, i)
        self._expect(db, lib.sqlite3_step(statement), self._row)
        count = lib.sqlite3_column_int64(statement, 0)
        total = lib.sqlite3_column_double(statement, 1)
        average = lib.sqlite3_column_double(statement, 2)
        text = lib.sqlite3_column_text(statement, 3)
        last = self.ffi.string(text) if text != null else b""
        lib.sqlite3_finalize(statement)
        lib.sqlite3_close_v2(db)
        return count, total, average, last

    def check(self, results: Sequence[Any]) -> None:
        seen = sum(count for count, *_ in results)
        if seen != self.rows:
            raise Mismatch(f"the scans saw {seen} rows in all, the table has {self.rows}")


class Zlib(Workload):
    """libz: every green thread compresses one file of Python's standard library."""

    library = "libz.so.1"

    def __init__(self, quick: bool) -> None:
        wanted = 60 if quick else 300
        self.files = self._files(wanted)
        self.greens, self.calls, self.sample = len(self.files), 1, max(1, len(self.files) // 6)
        self.what = "compress2 of a .py file"
        self.lib = self._load("""
            unsigned long compressBound(unsigned long source_length);
            int compress2(unsigned char *dest, unsigned long *dest_length,
                          const unsigned char *source, unsigned long source_length, int level);
        """)
        self.ffi = gosched.ffi(self.lib)

    @staticmethod
    def _files(wanted: int) -> list[bytes]:
        library = Path(sysconfig.get_path("stdlib"))
        found = []
        for path in sorted(library.rglob("*.py")):
            if "site-packages" not in path.parts and 8_000 <= path.stat().st_size <= 200_000:
                found.append(path.read_bytes())
            if len(found) == wanted:
                break
        if not found:
            raise Unavailable(f"there are no .py files to compress in {library}")
        return found

    def job(self, i: int) -> Any:
        source = self.files[i]
        room = self.lib.compressBound(len(source))
        dest = self.ffi.new("unsigned char[]", room)
        length = self.ffi.new("unsigned long *", room)
        status = self.lib.compress2(dest, length, source, len(source), 9)
        if status != 0:
            raise Mismatch(f"compress2 gave status {status} for file {i}")
        return bytes(self.ffi.buffer(dest, length[0]))

    def check(self, results: Sequence[Any]) -> None:
        for i, packed in enumerate(results):
            if zlib.decompress(packed) != self.files[i]:
                raise Mismatch(f"file {i} is another one after decompression")


class Names(Workload):
    """libc: the names in /etc/hosts are looked up."""

    library = "libc.so.6"
    declarations = """
        struct sockaddr { unsigned short sa_family; unsigned char sa_data[14]; };
        struct addrinfo {
            int ai_flags, ai_family, ai_socktype, ai_protocol;
            unsigned int ai_addrlen;
            struct sockaddr *ai_addr;
            char *ai_canonname;
            struct addrinfo *ai_next;
        };
        int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                        struct addrinfo **result);
        void freeaddrinfo(struct addrinfo *result);
        const char *gai_strerror(int code);
    """

    def __init__(self, quick: bool, hosts: Path = Path("/etc/hosts")) -> None:
        self.greens, self.calls, self.sample = (100, 2, 10) if quick else (300, 4, 40)
        self.what = "getaddrinfo of a name"
        self.hosts = self._hosts(hosts)
        self.lib = self._load(self.declarations)
        self.ffi = gosched.ffi(self.lib)

    @staticmethod
    def _hosts(path: Path) -> list[tuple[bytes, int]]:
        """Every name in the file with the family of its address: no look-up leaves the machine."""
        found = []
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise Unavailable(f"{path} cannot be read ({error.strerror})") from error
        for line in lines:
            address, *names = line.partition("#")[0].split() or [""]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            found += [(name.encode(), int(family)) for name in names if name.isascii()]
        if not found:
            raise Unavailable(f"there is no name in {path}")
        return found

    def job(self, i: int) -> Any:
        return [self.look_up(*self.hosts[(i + k) % len(self.hosts)]) for k in range(self.calls)]

    def look_up(self, name: bytes, family: int) -> list[str]:
        """The addresses of a name, sorted; or the resolver's complaint."""
        hints = self.ffi.new("struct addrinfo *")
        hints.ai_family, hints.ai_socktype = family, int(socket.SOCK_STREAM)
        out = self.ffi.new("struct addrinfo **")
        status = self.lib.getaddrinfo(name, self.ffi.NULL, hints, out)
        if status != 0:
            return [self.ffi.string(self.lib.gai_strerror(status)).decode()]
        addresses, entry = [], out[0]
        while entry != self.ffi.NULL:
            raw = bytes(self.ffi.buffer(entry.ai_addr, entry.ai_addrlen))
            packed = raw[4:8] if entry.ai_family == socket.AF_INET else raw[8:24]
            addresses.append(socket.inet_ntop(entry.ai_family, packed))
            entry = entry.ai_next
        self.lib.freeaddrinfo(out[0])
        return sorted(addresses)

    def check(self, results: Sequence[Any]) -> None:
        if not all(addresses for answers in results for addresses in answers):
            raise Mismatch("getaddrinfo gave no address and no error")


class Postgres(Workload):
    """libpq: every green thread has a connection and asks queries that take their time."""

    library = "libpq.so.5"
    declarations = """
        typedef struct pg_conn PGconn;
        typedef struct pg_result PGresult;
        PGconn *PQconnectdb(const char *conninfo);
        int PQstatus(const PGconn *connection);
        char *PQerrorMessage(const PGconn *connection);
        PGresult *PQexec(PGconn *connection, const char *query);
        int PQresultStatus(const PGresult *result);
        char *PQgetvalue(const PGresult *result, int row, int column);
        void PQclear(PGresult *result);
        void PQfinish(PGconn *connection);
    """
    _connection_ok, _tuples_ok = 0, 2

    def __init__(self, quick: bool, conninfo: str) -> None:
        self.greens, self.calls, self.sample = (20, 2, 2) if quick else (100, 5, 4)
        self.what = "select pg_sleep(0.05)"
        self.conninfo = conninfo.encode()
        self.lib = self._load(self.declarations)
        self.ffi = gosched.ffi(self.lib)

    def _message(self, connection: Any) -> str:
        return str(self.ffi.string(self.lib.PQerrorMessage(connection)).decode().strip())

    def job(self, i: int) -> Any:
        connection = self.lib.PQconnectdb(self.conninfo)
        try:
            if self.lib.PQstatus(connection) != self._connection_ok:
                raise Mismatch(f"no connection to PostgreSQL: {self._message(connection)}")
            return [self._ask(connection, f"{i}/{k}") for k in range(self.calls)]
        finally:
            self.lib.PQfinish(connection)

    def _ask(self, connection: Any, word: str) -> str:
        query = f"select pg_sleep(0.05), md5('{word}')"
        result = self.lib.PQexec(connection, query.encode())
        try:
            if self.lib.PQresultStatus(result) != self._tuples_ok:
                raise Mismatch(f"{query}: {self._message(connection)}")
            return str(self.ffi.string(self.lib.PQgetvalue(result, 0, 1)).decode())
        finally:
            self.lib.PQclear(result)

    def check(self, results: Sequence[Any]) -> None:
        for i, answers in enumerate(results):
            for k, answer in enumerate(answers):
                if answer != hashlib.md5(f"{i}/{k}".encode()).hexdigest():
                    raise Mismatch(f"PostgreSQL's md5 of {i}/{k} is {answer}")
