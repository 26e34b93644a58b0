"""What type checkers make of programs that use gosched: read by mypy and pyright, never run."""

from __future__ import annotations

import ctypes
from concurrent.futures import Future
from typing import Any

import gosched
from typing_extensions import assert_type


def length(text: str) -> int:
    return len(text)


def main(n: int) -> str:
    green = gosched.go(length, "abc")
    assert_type(green, gosched.GreenThread[int])
    assert_type(green.result(timeout=1), int)
    assert_type(green.exception(), BaseException | None)
    assert_type(green.name, str)
    assert_type(gosched.current(), gosched.GreenThread[Any] | None)

    numbers: gosched.Chan[int] = gosched.Chan(3)
    numbers.send(n)
    assert_type(numbers.recv(timeout=0.5), int)
    for number in numbers:
        assert_type(number, int)
    index, value = gosched.select(numbers.recv_case(), numbers.send_case(4), timeout=1.0)
    assert_type(index, int)
    assert_type(value, Any)

    with gosched.TaskGroup() as tg:
        assert_type(tg.go(length, "x"), gosched.GreenThread[int])
    for result in gosched.map(length, ["a", "b"], limit=2):
        assert_type(result, int)
    with gosched.Mutex(), gosched.RLock(), gosched.Semaphore(2), gosched.Condition() as condition:
        assert_type(condition.wait(0.1), bool)
    with gosched.timeout(1), gosched.os_thread(), gosched.shield():
        gosched.sleep(0)
    with gosched.Executor(4) as executor:
        assert_type(executor.submit(length, "x"), Future[int])

    lib = gosched.dlopen(None, "int abs(int);", blocking=["abs"])
    assert_type(lib, gosched.Library)
    assert_type(gosched.bind(lib.abs, unblock=print)(3), Any)
    assert_type(gosched.wrap(ctypes.CDLL(None), critical=["abs"]), Any)

    @gosched.callback("int(int)", error=1)
    def called(x: int) -> int:
        return x

    assert_type(called, gosched.Callback)
    assert_type(gosched.errno(), int)
    assert_type(gosched.stats(), dict[str, int])
    return "end"


assert_type(gosched.run(main, 3, procs=2), str)
