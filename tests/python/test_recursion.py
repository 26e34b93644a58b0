"""Recursion through C ends on a green thread as it does on the main thread of a plain program.

CPython ends such a recursion by counting, up to 3.13: it takes it for granted that so many levels
have room.  Each is run in a process of its own, since one that has no room ends the process.
"""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest
from conftest import HANG

# What uses most stack of some two hundred such recursions that were measured, and what is likely.
# Each defines f, which never returns.
WAYS = {
    # A sort keeps 4 KiB on C's stack, and what it compares by is all that is counted.
    "sort by __lt__": """
        class A:
            def __lt__(self, other): [A(), A()].sort()
        def f(): [A(), A()].sort()
    """,
    "sort by key": """
        def f(x=0): [x, x].sort(key=f)
    """,
    "sorted by cmp_to_key": """
        import functools
        def f(x=0, y=0): sorted([1, 2], key=functools.cmp_to_key(f))
    """,
    "a collation of sqlite3": """
        import sqlite3
        def f(*a):
            c = sqlite3.connect(":memory:")
            c.create_collation("z", f)
            c.execute("select 'a' union select 'b' order by 1 collate z").fetchall()
    """,
    "a callback of ctypes": """
        import ctypes
        sys.unraisablehook = lambda *a: None
        class S(ctypes.Structure): _fields_ = [("a", ctypes.c_int * 100)]
        @ctypes.CFUNCTYPE(ctypes.c_int, S)
        def callback(s):
            deepest[0] += 1
            return callback(s)
        deepest = [0]
        def f():  # what is raised in a callback cannot leave it
            callback(S())
            if deepest[0] > 50: raise RecursionError
    """,
    "bytes %": """
        class A:
            def __bytes__(self): return b"%b" % A()
        def f(): bytes(A())
    """,
    "descriptors": """
        class D:
            def __get__(self, o, t): return o.d
        class A: d = D()
        def f(): A().d
    """,
    "attributes": """
        class A:
            def __getattr__(self, name): return getattr(self, name)
        def f(): A().x
    """,
    "calls, comparing and hashing": """
        class A:
            def __call__(self): return A() == A()
            def __eq__(self, other): return {A(): 1}.get(A())
            def __hash__(self): return len(repr([A()]))
            def __repr__(self): return "%s" % A()()
        def f(): A()()
    """,
    "a text of objects": """
        class A:
            def __str__(self): return "{:{}} %s".format(A(), "") % A()
            def __format__(self, spec): return f"{A()}"
        def f(): str(A())
    """,
    "import": """
        class F:
            @staticmethod
            def find_spec(name, path, target=None):
                if name.startswith("zz"): __import__("zz%d" % (int(name[2:]) + 1))
        sys.meta_path.insert(0, F)
        def f(): import zz1
    """,
    "repr of lists": """
        def f():
            x = []
            for _ in range(200_000): x = [x]
            repr(x)
    """,
    "JSON and pickle": """
        import json, pickle
        def f():
            x = []
            for _ in range(200_000): x = [{"a": x}]
            for dumps in (pickle.dumps, json.dumps):
                try: dumps(x)
                except RecursionError: pass
            json.loads("[" * 200_000)
    """,
    "source": """
        import ast
        def f():
            for how in (ast.parse, lambda text: compile(text, "x", "exec")):
                for text in ("-" * 20000 + "1", "lambda:" * 5000 + "1", "(" * 190 + ")" * 190,
                             "a" + ".b" * 5000, "1 if 1 else " * 5000 + "1"):
                    try: how(text)
                    except (RecursionError, MemoryError): pass
            raise RecursionError
    """,
}


GREEN = """
def green():
    for _ in range(2):
        try:
            f()
        except RecursionError:
            continue
        raise SystemExit("it returned")
    return "both ended"

print(gosched.run(lambda: gosched.go(green).result()))
"""


@pytest.mark.parametrize("way", WAYS)
def test_it_is_an_error(script, way):
    program = "import sys\nimport gosched\n" + textwrap.dedent(WAYS[way]) + GREEN
    status, out, err = script(program).end(HANG)
    assert (status, out) == (0, "both ended\n"), err


@pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="from 3.12 on sys.setrecursionlimit says nothing of C: that cannot be made to overflow",
)
def test_an_overflow_is_named(script):
    program = """
        import sys
        import gosched
        class A:
            def __lt__(self, other): [A(), A()].sort()
        sys.setrecursionlimit(10**6)
        gosched.run(lambda: gosched.go([A(), A()].sort).result())
    """
    status, _, err = script(program).end(HANG)
    assert status == -signal.SIGABRT
    assert "stack overflow in green thread" in err
