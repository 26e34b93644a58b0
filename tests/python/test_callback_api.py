"""gosched.callback: function pointers with a lifetime, and errors that arrive."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import gosched
import pytest

LIBC = """
typedef struct { int a; double b; } pair;
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t n, size_t size,
              int (*compare)(const void *, const void *));
int pthread_create(unsigned long *id, void *attributes, void *(*start)(void *), void *arg);
int pthread_join(unsigned long id, void **result);
"""
COMPARE = "int(const void *, const void *)"


@pytest.fixture(scope="module")
def libc():
    return gosched.dlopen(None, LIBC)


def sorting(libc, compare, n=8):
    ffi = gosched.ffi(libc)
    numbers = ffi.new("int[]", [(7 * i) % n for i in range(n)])
    libc.qsort(numbers, n, ffi.sizeof("int"), compare)
    return list(numbers)


def comparing(libc, before=lambda: None):
    ffi = gosched.ffi(libc)

    def compare(a, b):
        before()
        x, y = ffi.cast("int *", a)[0], ffi.cast("int *", b)[0]
        return (x > y) - (x < y)

    return compare


@pytest.fixture(params=["inside", "outside"])
def place(request):
    return gosched.run if request.param == "inside" else lambda fn: fn()


def test_decorator_and_function(libc, place):
    @gosched.callback(COMPARE)
    def compare(a, b):
        return comparing(libc)(a, b)

    with compare, gosched.callback("int (*)(const void *, const void *)", comparing(libc)) as other:
        assert place(lambda: sorting(libc, compare)) == list(range(8))
        assert place(lambda: sorting(libc, other)) == list(range(8))
        assert repr(compare).startswith("<gosched.Callback test_decorator_and_function.<locals>")
    assert repr(compare).endswith(", freed>")


def test_waiting_inside(libc):
    def main():
        with gosched.callback(COMPARE, comparing(libc, lambda: gosched.sleep(0.0001))) as compare:
            ticks = []
            ticker = gosched.go(lambda: [ticks.append(gosched.sleep(0)) for _ in range(50)])
            assert sorting(libc, compare) == list(range(8))
            ticker.join()

    gosched.run(main)


def test_errors_arrive(libc, place):
    calls = []

    def fail(_a, _b):
        calls.append(1)
        raise KeyError(len(calls))

    with gosched.callback(COMPARE, fail, error=1) as compare:

        def main():
            with pytest.raises(KeyError, match="1") as caught:
                sorting(libc, compare)
            assert caught.traceback[-1].name == "fail"
            assert sorting(libc, good) == list(range(8))

        good = gosched.callback(COMPARE, comparing(libc))
        place(main)
        good.free()
    assert len(calls) > 1  # C went on with the error value


def test_errors_of_conversion_arrive(libc, place):
    with gosched.callback(COMPARE, lambda _a, _b: "one") as compare:

        def main():
            with pytest.raises(TypeError):
                sorting(libc, compare)

        place(main)


def test_an_error_belongs_to_the_innermost_call(libc, place):
    outer_errors = []

    def fail(_a, _b):
        raise ValueError("inner")

    inner = gosched.callback(COMPARE, fail)

    def nested():
        try:
            sorting(libc, inner, 2)
        except ValueError as error:
            outer_errors.append(error)

    outer = gosched.callback(COMPARE, comparing(libc, nested))
    assert place(lambda: sorting(libc, outer)) == list(range(8))
    assert outer_errors and {str(e) for e in outer_errors} == {"inner"}
    inner.free()
    outer.free()


def test_an_error_before_an_inner_call_is_the_outer_ones(libc, place):
    seen = []

    def first_fails(_a, _b):
        seen.append(1)
        if len(seen) == 1:
            raise LookupError("outer")
        assert sorting(libc, good, 4) == list(range(4))
        return 1

    good = gosched.callback(COMPARE, comparing(libc))
    bad = gosched.callback(COMPARE, first_fails)

    def main():
        with pytest.raises(LookupError, match="outer"):
            sorting(libc, bad)

    place(main)
    assert len(seen) > 1


def test_cancelled_arrives(libc):
    def main():
        def body():
            with gosched.callback(COMPARE, comparing(libc, lambda: gosched.sleep(0.01))) as compare:
                sorting(libc, compare)

        green = gosched.go(body)
        gosched.sleep(0.005)
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()

    gosched.run(main)


def test_onerror(libc, place):
    seen = []

    def fail(_a, _b):
        raise KeyError

    def onerror(kind, error, tb):
        seen.append((kind, tb is not None))
        return None if len(seen) % 2 else -1

    with gosched.callback(COMPARE, fail, error=1, onerror=onerror) as compare:
        place(lambda: sorting(libc, compare))
    assert set(seen) == {(KeyError, True)}


def test_on_a_thread_of_c(libc, monkeypatch):
    ffi = gosched.ffi(libc)
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def run_on_thread(start):
        thread = ffi.new("unsigned long *")
        result = ffi.new("void **")
        assert libc.pthread_create(thread, ffi.NULL, start, ffi.cast("void *", 5)) == 0
        assert libc.pthread_join(thread[0], result) == 0
        return int(ffi.cast("intptr_t", result[0]))

    def double(arg):
        assert gosched.current() is None
        return ffi.cast("void *", 2 * int(ffi.cast("intptr_t", arg)))

    def fail(_arg):
        raise RuntimeError("nobody")

    with gosched.callback("void *(void *)", double) as good:
        assert gosched.run(lambda: run_on_thread(good)) == 10
    with gosched.callback("void *(void *)", fail) as bad:
        assert gosched.run(lambda: run_on_thread(bad)) == 0
    (report,) = reports
    assert report.exc_type is RuntimeError
    assert "nobody waits for the callback" in report.err_msg


def test_lifetime(libc, place):
    ffi = gosched.ffi(libc)
    gone = weakref.ref(gosched.callback(COMPARE, comparing(libc)))
    gc.collect()
    kept = gone()
    assert kept is not None  # C may have its address
    address = ffi.cast("int (*)(const void *, const void *)", kept.cdata)
    assert place(lambda: sorting(libc, address)) == list(range(8))
    kept.free()
    kept.free()

    def main():
        with pytest.raises(gosched.Error, match=r"C calls the callback .* after its free\(\)"):
            sorting(libc, address)

    place(main)


def test_many(libc):
    def work(i):
        with gosched.callback(COMPARE, comparing(libc, lambda: i % 3 or gosched.sleep(0))) as f:
            return sorting(libc, f)

    def main():
        return list(gosched.map(work, range(300), limit=50))

    assert gosched.run(main) == [list(range(8))] * 300


def test_from_several_threads(libc):
    results = []
    with gosched.callback(COMPARE, comparing(libc)) as compare:

        def main():
            threads = [
                threading.Thread(target=lambda: results.append(sorting(libc, compare)))
                for _ in range(4)
            ]
            for t in threads:
                t.start()
            with gosched.TaskGroup() as tg:
                greens = [tg.go(sorting, libc, compare) for _ in range(4)]
            for t in threads:
                t.join()
            results.extend(g.result() for g in greens)

        gosched.run(main)
    assert results == [list(range(8))] * 8


def test_structs(libc):
    def add(p):
        return {"a": p.a + 1, "b": p.b * 2}

    ffi = gosched.ffi(libc)
    with gosched.callback("pair(pair)", lambda p: ffi.new("pair *", add(p))[0], lib=libc) as f:
        got = f.cdata({"a": 1, "b": 2.5})
        assert (got.a, got.b) == (2, 5.0)


def test_arguments():
    with pytest.raises(TypeError, match="fn must be callable, not int"):
        gosched.callback(COMPARE, 3)
    with pytest.raises(TypeError, match="onerror must be callable, not str"):
        gosched.callback(COMPARE, print, onerror="x")
    with pytest.raises(Exception, match="int"):
        gosched.callback("int", print)
    with pytest.raises(TypeError):
        gosched.callback(COMPARE, print, error="text")
