"""dlopen: real libraries, conversions, errno, closing."""

from __future__ import annotations

import ctypes.util
import gc
import sys
import threading
import weakref

import cffi
import gosched
import pytest
from conftest import in_thread

LIBC = """
typedef struct { int quot; int rem; } div_t;
typedef struct { long quot; long rem; } ldiv_t;
typedef long time_t;
struct tm { int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
            long tm_gmtoff; const char *tm_zone; };
enum color { RED, GREEN = 7, BLUE };
#define ANSWER 42
static const int LIMIT = 9;

int abs(int);
long labs(long);
size_t strlen(const char *s);
char *strcpy(char *to, const char *from);
void *memset(void *p, int c, size_t n);
double strtod(const char *s, char **end);
long double strtold(const char *s, char **end);
float strtof(const char *s, char **end);
unsigned long strtoul(const char *s, char **end, int base);
div_t div(int a, int b);
ldiv_t ldiv(long a, long b);
struct tm *gmtime_r(const time_t *t, struct tm *out);
int snprintf(char *buf, size_t n, const char *format, ...);
int open(const char *path, int flags, ...);
int close(int fd);
int toupper(int c);
char *getenv(const char *name);
void qsort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *));
int usleep(unsigned usec);
int getpid(void);
int isatty(int fd);
extern int opterr;
extern char **environ;
void *malloc(size_t n);
void free(void *p);
int memcmp(const void *a, const void *b, size_t n);
"""


@pytest.fixture(scope="module")
def libc():
    return gosched.dlopen(None, LIBC, critical=["abs", "strlen"])


@pytest.fixture
def both(libc):
    """Calls fn on a green thread and on a plain one; both must say the same."""

    def both(fn):
        inside = gosched.run(fn)
        assert fn() == inside
        return inside

    return both


def test_numbers(libc, both):
    assert both(lambda: libc.abs(-5)) == 5
    assert both(lambda: libc.labs(-(2**62))) == 2**62
    assert both(lambda: libc.strtoul(b"18446744073709551615", libc_null(libc), 10)) == 2**64 - 1
    assert both(lambda: libc.strtod(b"2.5", libc_null(libc))) == 2.5
    assert both(lambda: libc.strtof(b"0.25", libc_null(libc))) == 0.25
    assert both(lambda: libc.toupper(ord("a"))) == ord("A")
    assert both(lambda: float(libc.strtold(b"1.5", libc_null(libc)))) == 1.5


def libc_null(libc):
    return gosched.ffi(libc).NULL


def test_strings_and_buffers(libc, both):
    ffi = gosched.ffi(libc)
    assert both(lambda: libc.strlen(b"four")) == 4
    assert both(lambda: libc.getenv(b"NO_SUCH_VARIABLE")) == ffi.NULL

    def copy():
        buf = ffi.new("char[]", 10)
        got = libc.strcpy(buf, b"hello")
        assert got == buf
        libc.memset(buf + 1, ord("u"), 1)
        return ffi.string(buf)

    assert both(copy) == b"hullo"


def test_lists_become_arrays(libc, both):
    assert both(lambda: libc.memcmp(b"abc", b"abd", 3)) < 0
    lib = gosched.dlopen(None, "int memcmp(const unsigned char *a, const long *b, size_t n);")

    def compare():
        return lib.memcmp([1, 0, 0, 0, 0, 0, 0, 0, 2], [1, 2], 9)

    assert gosched.run(compare) == 0


def test_large_temporary_arrays(libc):
    lib = gosched.dlopen(None, "int memcmp(const int *a, const int *b, size_t n);")
    many = list(range(100_000))

    def compare():
        return lib.memcmp(many, many, 400_000)

    assert gosched.run(compare) == 0


def test_structs_by_value(libc, both):
    def divide():
        d, ld = libc.div(17, 5), libc.ldiv(-17, 5)
        return d.quot, d.rem, ld.quot, ld.rem

    assert both(divide) == (3, 2, -3, -2)


def test_complex_numbers(both):
    lib = gosched.dlopen(
        "libm.so.6", "double _Complex csqrt(double _Complex); float _Complex conjf(float _Complex);"
    )

    def roots():
        return lib.csqrt(-4), lib.csqrt(3 + 4j), lib.conjf(1.5 - 2j)

    assert both(roots) == (2j, 2 + 1j, 1.5 + 2j)


def test_structs_by_pointer(libc, both):
    ffi = gosched.ffi(libc)

    def broken_down():
        tm = ffi.new("struct tm *")
        assert libc.gmtime_r(ffi.new("time_t *", 86400 * 365), tm) == tm
        assert libc.gmtime_r([86400 * 365], tm) == tm
        return tm.tm_year, tm.tm_mon, tm.tm_mday

    assert both(broken_down) == (71, 0, 1)


def test_variadic(libc, both):
    ffi = gosched.ffi(libc)

    def formatted():
        buf = ffi.new("char[]", 64)
        n = libc.snprintf(
            buf,
            64,
            b"%d %s %.1f %c",
            ffi.cast("int", -3),
            ffi.new("char[]", b"str"),
            ffi.cast("float", 2.5),
            ffi.cast("char", b"z"),
        )
        assert libc.snprintf(buf + 32, 32, b"plain") == 5
        return n, ffi.string(buf), ffi.string(buf + 32)

    assert both(formatted) == (12, b"-3 str 2.5 z", b"plain")


def test_variadic_errors(libc):
    ffi = gosched.ffi(libc)
    buf = ffi.new("char[]", 8)
    with pytest.raises(TypeError, match=r"snprintf\(\) argument 4 .* needs to be a cdata object"):
        libc.snprintf(buf, 8, b"%d", 5)
    with pytest.raises(TypeError, match=r"snprintf\(\) takes at least 3 arguments .* 1 given"):
        libc.snprintf(buf)
    with pytest.raises(TypeError, match=r"snprintf\(\) argument 3"):
        libc.snprintf(buf, 8, 5)


def test_constants_enums_globals(libc):
    assert (libc.ANSWER, libc.LIMIT) == (42, 9)
    assert (libc.RED, libc.GREEN, libc.BLUE) == (0, 7, 8)
    assert libc.opterr == 1
    libc.opterr = 0
    assert libc.opterr == 0
    libc.opterr = 1
    assert gosched.ffi(libc).typeof(libc.environ).cname == "char * *"
    names = dir(libc)
    assert {"abs", "ANSWER", "GREEN", "opterr", "snprintf"} <= set(names)
    assert names == sorted(names)


def test_callbacks(libc):
    ffi = gosched.ffi(libc)

    @ffi.callback("int(const void *, const void *)")
    def compare(a, b):
        x, y = ffi.cast("int *", a)[0], ffi.cast("int *", b)[0]
        return (x > y) - (x < y)

    def main():
        numbers = ffi.new("int[]", [5, 3, 9, 1])
        libc.qsort(numbers, 4, ffi.sizeof("int"), compare)
        return list(numbers)

    assert gosched.run(main) == [1, 3, 5, 9]


def test_foreign_calls_and_waits_in_a_callback(libc):
    ffi = gosched.ffi(libc)
    seen = []

    @ffi.callback("int(const void *, const void *)", onerror=lambda *e: seen.append(str(e[1])))
    def compare(a, b):
        seen.append(libc.strlen(b"abc"))
        gosched.sleep(0.001)
        seen.append("slept")
        return 0

    critical = gosched.dlopen(None, gosched.ffi(libc), critical=["qsort"])

    def main():
        libc.qsort(ffi.new("int[]", [2, 1]), 2, 4, compare)
        assert seen == [3, "slept"]
        seen.clear()
        critical.qsort(ffi.new("int[]", [2, 1]), 2, 4, compare)
        assert seen[0] == 3
        assert "leave it out of critical" in seen[1]
        gosched.sleep(0.001)

    gosched.run(main)


def test_functions_as_arguments(libc):
    ffi = gosched.ffi(libc)
    lib = gosched.dlopen(
        None,
        "void qsort(void *b, size_t n, size_t s, int (*cmp)(const char *, const char *));"
        "int strcmp(const char *a, const char *b);",
    )

    def main():
        rows = ffi.new("char[3][4]", [b"two", b"one", b"abc"])
        lib.qsort(rows, 3, 4, lib.strcmp)
        return [ffi.string(r) for r in rows]

    assert gosched.run(main) == [b"abc", b"one", b"two"]


def test_errno(libc):
    def main():
        assert libc.open(b"/nonexistent/x", 0) == -1
        assert gosched.errno() == 2
        assert libc.abs(1) == 1
        assert gosched.errno() == 0

        def other():
            libc.close(-1)
            mine = gosched.errno()
            gosched.sleep(0.002)
            return mine, gosched.errno()

        libc.isatty(-1)
        g = gosched.go(other)
        gosched.sleep(0.001)
        assert gosched.errno() == 9
        assert g.result() == (9, 9)

    gosched.run(main)
    libc.open(b"/nonexistent/x", 0)
    assert gosched.errno() == 2
    assert in_thread(gosched.errno) == 0


def test_errno_is_taken_on_the_thread_of_the_call():
    lib = gosched.dlopen(
        None, "int usleep(unsigned); int close(int);", blocking=["usleep", "close"]
    )

    def main():
        def one(i):
            for k in range(30):
                if (i + k) % 2:
                    lib.close(-1)
                    assert gosched.errno() == 9
                else:
                    lib.usleep(100)
                    assert gosched.errno() == 0
                assert gosched.errno() == (9 if (i + k) % 2 else 0)

        with gosched.TaskGroup() as tg:
            for i in range(20):
                tg.go(one, i)

    gosched.run(main)


def test_ffi_errno(libc):
    def main():
        libc.open(b"/nonexistent/x", 0)
        return gosched.ffi(libc).errno

    assert gosched.run(main) == 2


def test_calls_migrate():
    """Otherwise the tests of what survives a change of threads would test nothing."""
    lib = gosched.dlopen(None, "int usleep(unsigned usec);", blocking=["usleep"])

    def main():
        moved = 0

        def one():
            nonlocal moved
            for _ in range(50):
                before = threading.get_native_id()
                lib.usleep(50)
                moved += before != threading.get_native_id()

        with gosched.TaskGroup() as tg:
            for _ in range(10):
                tg.go(one)
        return moved

    assert any(gosched.run(main) > 0 for _ in range(100))


def test_an_ffi_of_ones_own():
    ffi = cffi.FFI()
    ffi.cdef("int abs(int);")
    lib = gosched.dlopen(None, ffi)
    assert gosched.ffi(lib) is ffi
    assert gosched.run(lib.abs, -3) == 3


def test_functions_are_looked_up_once(libc):
    assert libc.abs is libc.abs
    assert libc.abs.__name__ == "abs"
    assert repr(libc.abs) == "<gosched function abs of the process: int abs(int)>"
    assert "snprintf" in repr(libc.snprintf)
    assert gosched.ffi(libc).typeof(libc.abs.cdata).kind == "function"


def test_functions_outlive_the_library_object():
    lib = gosched.dlopen(None, "int abs(int);")
    f = lib.abs
    ref = weakref.ref(lib)
    del lib
    gc.collect()
    assert ref() is None
    assert f(-2) == 2


def test_plain_threads(libc):
    assert in_thread(lambda: libc.abs(-7)) == 7

    def main():
        return in_thread(lambda: libc.labs(-7))

    assert gosched.run(main) == 7


def test_plain_calls_release_the_gil(libc):
    stop = threading.Event()
    ticks = []

    def tick():
        while not stop.wait(0.005):
            ticks.append(1)

    t = threading.Thread(target=tick)
    t.start()
    libc.usleep(200_000)
    stop.set()
    t.join()
    assert len(ticks) >= 3


def test_collection_and_references():
    lib = gosched.dlopen(None, "size_t strlen(const char *); int abs(int);")
    value = b"x" * 1000

    def main():
        before = sys.getrefcount(value)
        for _ in range(1000):
            lib.strlen(value)
        assert sys.getrefcount(value) == before
        for bad in ("text", 5.0, object()):
            count = sys.getrefcount(bad)
            for _ in range(100):
                with pytest.raises(TypeError):
                    lib.strlen(bad)
            assert sys.getrefcount(bad) <= count + 2
        return True

    assert gosched.run(main)


def test_arguments_live_for_the_call():
    lib = gosched.dlopen(
        None, "int usleep(unsigned); void *memchr(const void *s, int c, size_t n);"
    )
    ffi = gosched.ffi(lib)

    def main():
        def churn():
            while True:
                [bytes(1000) for _ in range(100)]
                gc.collect()
                gosched.sleep(0.001)

        gosched.go(churn)

        def search(i):
            for _ in range(30):
                found = lib.memchr(bytes([i]) * 5000 + b"\xff", 255, 5001)
                assert found != ffi.NULL
                assert lib.memchr(ffi.new("char[]", b"ab" * 2000), ord("b"), 4000) != ffi.NULL

        with gosched.TaskGroup() as tg:
            for i in range(10):
                tg.go(search, i)

    gosched.run(main)


ZLIB = """
typedef unsigned char Bytef; typedef unsigned long uLong; typedef unsigned long uLongf;
int compress2(Bytef *dest, uLongf *destLen, const Bytef *source, uLong sourceLen, int level);
int uncompress(Bytef *dest, uLongf *destLen, const Bytef *source, uLong sourceLen);
uLong crc32(uLong crc, const Bytef *buf, unsigned len);
const char *zlibVersion(void);
"""


@pytest.mark.skipif(not ctypes.util.find_library("z"), reason="libz is not installed")
def test_zlib():
    import zlib

    lib = gosched.dlopen(ctypes.util.find_library("z"), ZLIB)
    ffi = gosched.ffi(lib)
    data = bytes(range(256)) * 4000

    def round_trip(i):
        source = data[i:]
        out, n = ffi.new("Bytef[]", len(source) + 1000), ffi.new("uLongf *", len(source) + 1000)
        assert lib.compress2(out, n, source, len(source), 6) == 0
        packed = ffi.buffer(out, n[0])[:]
        assert zlib.decompress(packed) == source
        back, m = ffi.new("Bytef[]", len(source)), ffi.new("uLongf *", len(source))
        assert lib.uncompress(back, m, packed, len(packed)) == 0
        assert ffi.buffer(back)[:] == source
        return lib.crc32(0, source, len(source)) == zlib.crc32(source)

    def main():
        assert ffi.string(lib.zlibVersion()).count(b".") >= 1
        gs = [gosched.go(round_trip, i) for i in range(10)]
        return [g.result() for g in gs]

    assert all(gosched.run(main))


SQLITE = """
typedef struct sqlite3 sqlite3; typedef struct sqlite3_stmt sqlite3_stmt;
int sqlite3_open(const char *name, sqlite3 **db);
int sqlite3_close(sqlite3 *db);
int sqlite3_busy_timeout(sqlite3 *db, int ms);
int sqlite3_exec(sqlite3 *db, const char *sql, int (*cb)(void *, int, char **, char **), void *arg,
                 char **err);
int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int n, sqlite3_stmt **st, const char **tail);
int sqlite3_step(sqlite3_stmt *);
int sqlite3_column_int(sqlite3_stmt *, int);
int sqlite3_finalize(sqlite3_stmt *);
const char *sqlite3_errmsg(sqlite3 *);
"""


@pytest.mark.skipif(not ctypes.util.find_library("sqlite3"), reason="libsqlite3 is not installed")
def test_sqlite(tmp_path):
    lib = gosched.dlopen(ctypes.util.find_library("sqlite3"), SQLITE, blocking=["sqlite3_step"])
    ffi = gosched.ffi(lib)
    path = str(tmp_path / "x.db").encode()

    def connect():
        out = ffi.new("sqlite3 **")
        assert lib.sqlite3_open(path, out) == 0
        lib.sqlite3_busy_timeout(out[0], 60_000)
        return out[0]

    def execute(db, sql):
        code = lib.sqlite3_exec(db, sql, ffi.NULL, ffi.NULL, ffi.NULL)
        assert code == 0, ffi.string(lib.sqlite3_errmsg(db))

    def insert(i):
        db = connect()
        for k in range(5):
            execute(db, b"insert into t values (%d)" % (i * 5 + k))
        assert lib.sqlite3_close(db) == 0

    def total(db):
        st = ffi.new("sqlite3_stmt **")
        assert lib.sqlite3_prepare_v2(db, b"select sum(x) from t", -1, st, ffi.NULL) == 0
        assert lib.sqlite3_step(st[0]) == 100
        value = lib.sqlite3_column_int(st[0], 0)
        lib.sqlite3_finalize(st[0])
        return value

    def main():
        db = connect()
        execute(db, b"create table t (x)")
        with gosched.TaskGroup() as tg:
            for i in range(8):
                tg.go(insert, i)
        value = total(db)
        lib.sqlite3_close(db)
        return value

    assert gosched.run(main) == sum(range(40))
