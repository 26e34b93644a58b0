"""Subinterpreters are refused, in words, and the main interpreter does not notice."""

from __future__ import annotations

import pytest

TRY = r"""
import sys
sys.path[:] = {path!r}
try:
    import gosched
except ImportError as e:
    print("refused:", e, flush=True)
else:
    print("imported", flush=True)
"""

# A legacy subinterpreter, which shares the GIL and takes extension modules of every kind.
LEGACY = """
    import sys
    from _testcapi import run_in_subinterp

    if {first}:
        import gosched
    code = {code!r}.replace("PATH", repr(sys.path))
    assert run_in_subinterp(code) == 0
    import gosched

    def main():
        return gosched.go(lambda: 42).result()

    print(gosched.run(main))
"""

# One with a GIL of its own, or as isolated as this version can make it.
ISOLATED = """
    import sys
    try:
        import _interpreters as interpreters
        run = interpreters.run_string
    except ImportError:
        import _xxsubinterpreters as interpreters
        run = interpreters.run_string
    code = {code!r}.replace("PATH", repr(sys.path))
    other = interpreters.create()
    failed = run(other, code)
    assert failed is None, failed
    interpreters.destroy(other)
    print("over")
"""

CODE = TRY.replace("{path!r}", "PATH")


@pytest.mark.parametrize("first", [True, False], ids=["imported before", "not imported before"])
def test_legacy(script, first):
    pytest.importorskip("_testcapi")
    status, out, err = script(LEGACY.format(first=first, code=CODE)).end()
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("refused: gosched works in the main interpreter"), out
    assert lines[1] == "42"


def test_isolated(script):
    status, out, err = script(ISOLATED.format(code=CODE)).end()
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("refused: "), out
    assert "subinterpreter" in lines[0], out
    assert lines[1] == "over"
