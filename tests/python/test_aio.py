"""gosched.aio: green threads for asyncio, from every place where a loop can run."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import warnings

import gosched
import pytest
from conftest import until


def on_a_green_thread(main):
    return gosched.run(lambda: gosched.go(asyncio.run, main).result(120))


def beside_a_run(main):
    """The loop is on an ordinary thread, gosched.run on the main one."""
    box = []

    def body():
        try:
            box.append(asyncio.run(main))
        except BaseException as error:
            box.append(error)

    def green_main():
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()

    gosched.run(green_main)
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


PLACES = {
    "the main green thread": lambda main: gosched.run(asyncio.run, main),
    "a green thread": on_a_green_thread,
    "beside a run": beside_a_run,
    "no run at all": asyncio.run,
}


@pytest.fixture(params=PLACES)
def run(request):
    return PLACES[request.param]


async def poll(condition):
    """Until condition() is true."""
    for _ in range(60_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not come to that within a minute")


def test_results_and_errors(run):
    async def main():
        assert await gosched.aio.call(pow, 2, exp=5) == 32
        with pytest.raises(ZeroDivisionError) as info:
            await gosched.aio.call(lambda: 1 / 0)
        assert "<lambda>" in [entry.name for entry in info.traceback]
        with pytest.raises(RuntimeError, match="raised StopIteration") as info:
            await gosched.aio.call(next, iter([]))
        assert isinstance(info.value.__cause__, StopIteration)
        return await gosched.aio.call(lambda: gosched.current().id > 0)

    assert run(main()) is True


def test_a_thousand_blocking_calls(run):
    """All of them block in C at once, while the loop goes on."""

    async def main():
        begun, go_on = [], threading.Event()

        def block(i):
            begun.append(i)
            go_on.wait()
            return i

        calls = asyncio.gather(*(gosched.aio.call(block, i) for i in range(1000)))
        await poll(lambda: len(begun) == 1000)
        go_on.set()
        assert await calls == list(range(1000))

    run(main())


def test_green_operations_in_calls(run):
    async def main():
        channel = gosched.Chan()
        received = asyncio.gather(*(gosched.aio.call(channel.recv) for _ in range(20)))
        sent = [gosched.aio.call(channel.send, i) for i in range(20)]
        await asyncio.gather(*sent)
        return sorted(await received)

    assert run(main()) == list(range(20))


def test_cancelling_the_task_cancels_the_green_thread(run):
    async def main():
        state = []

        def work():
            state.append("begun")
            try:
                gosched.sleep(3600)
            except gosched.Cancelled:
                state.append("cancelled")
                raise

        task = asyncio.create_task(gosched.aio.call(work))
        await poll(lambda: state)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await poll(lambda: state == ["begun", "cancelled"])
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(gosched.aio.call(work), 0.01)
        await poll(lambda: state[-1] == "cancelled")

        # A call that blocks in C goes on, the task does not wait for it.
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(gosched.aio.call(time.sleep, 1), 0.01)

    run(main())


def test_a_task_cancelled_at_once(run):
    async def main():
        ran = []
        task = asyncio.create_task(gosched.aio.call(ran.append, 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        tasks = [asyncio.create_task(gosched.aio.call(gosched.sleep, 3600)) for _ in range(100)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in done)
        assert ran == []

    run(main())


def test_cancelled_by_somebody_else(run):
    async def main():
        with pytest.raises(asyncio.CancelledError):
            await gosched.aio.call(lambda: (gosched.current().cancel(), gosched.sleep(3600)))

    run(main())


def test_contextvars(run):
    variable = contextvars.ContextVar("variable")

    async def ask(i):
        variable.set(i)

        def work():
            seen = variable.get()
            variable.set("mine")
            gosched.sleep(0.001)
            return seen, variable.get()

        assert await gosched.aio.call(work) == (i, "mine")
        return variable.get()

    async def main():
        return await asyncio.gather(*(ask(i) for i in range(10)))

    assert run(main()) == list(range(10))


def test_errors_that_end_programs(run):
    async def main():
        await gosched.aio.call(lambda: exec("raise SystemExit(7)"))

    with pytest.raises(SystemExit, match="7"):
        run(main())


def test_debug_mode(run):
    async def main():
        asyncio.get_running_loop().set_debug(True)
        return await gosched.aio.call(pow, 2, 3)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(main()) == 8


def test_wrong_use():
    async def main(fn):
        await gosched.aio.call(fn)

    for wrong in (None, 1, "print"):
        with pytest.raises(TypeError, match="aio.call: fn must be callable, not "):
            asyncio.run(main(wrong))
    with pytest.raises(TypeError):
        asyncio.run(gosched.aio.call())
    outside = gosched.aio.call(print)
    with pytest.raises(gosched.Error, match="must be awaited in a coroutine that asyncio runs"):
        outside.send(None)
    with pytest.raises(AttributeError, match="no attribute 'ai'"):
        _ = gosched.ai


def test_several_loops_at_once():
    async def main(i):
        return await asyncio.gather(*(gosched.aio.call(lambda j=j: (i, j)) for j in range(10)))

    def green_main():
        greens = [gosched.go(asyncio.run, main(i)) for i in range(10)]
        return [g.result(120) for g in greens]

    assert gosched.run(green_main) == [[(i, j) for j in range(10)] for i in range(10)]

    results = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: asyncio.run(main(i))}))
        for i in range(10)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {i: [(i, j) for j in range(10)] for i in range(10)}


# ---- the run that is started where there is none ----


def test_it_makes_way_for_a_run():
    async def main():
        await gosched.aio.call(gosched.sleep, 0.001)
        with pytest.raises(asyncio.TimeoutError):  # given up: cancelled, and waited for
            await asyncio.wait_for(gosched.aio.call(gosched.sleep, 3600), 0.001)

    for _ in range(20):
        asyncio.run(main())
        assert gosched.run(lambda: 7) == 7
        assert not gosched._gosched._running()


def test_it_does_not_make_way_under_a_call():
    async def main():
        go_on = threading.Event()
        call = asyncio.create_task(gosched.aio.call(go_on.wait))
        await asyncio.sleep(0.01)
        with pytest.raises(gosched.Error, match="another thread is inside gosched.run"):
            gosched.run(lambda: None)
        go_on.set()
        assert await call is True

    asyncio.run(main())
    gosched.run(lambda: None)


def test_with_executors():
    async def main():
        return await gosched.aio.call(pow, 2, 3)

    with gosched.Executor() as executor:
        assert executor.submit(pow, 2, 5).result(60) == 32
        assert asyncio.run(main()) == 8
        future = executor.submit(asyncio.run, main())
        assert future.result(60) == 8
    assert asyncio.run(main()) == 8
    with gosched.Executor() as executor:
        assert executor.submit(pow, 2, 5).result(60) == 32

        async def in_executor():
            return await asyncio.get_running_loop().run_in_executor(executor, pow, 2, 4)

        assert asyncio.run(in_executor()) == 16
    gosched.run(lambda: None)


def test_the_run_ends_under_a_call():
    """The green threads of a run are cancelled at its end, the next call finds another one."""
    states = []

    async def main(begun, over):
        call = asyncio.create_task(gosched.aio.call(gosched.sleep, 3600))
        await asyncio.sleep(0.01)
        begun.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        await poll(over.is_set)
        states.append(await gosched.aio.call(pow, 2, 3))

    begun, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(main(begun, over)))

    def green_main():
        thread.start()
        until(begun.is_set)

    gosched.run(green_main)
    over.set()
    thread.join(120)
    assert states == [8]
    gosched.run(lambda: None)


def test_a_loop_that_is_gone():
    loop = asyncio.new_event_loop()
    state = []

    def work():
        try:
            loop.call_soon_threadsafe(loop.stop)
            gosched.sleep(3600)
        finally:
            state.append("ended")

    async def main():
        await gosched.aio.call(work)

    task = loop.create_task(main())
    loop.run_forever()
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task._log_destroy_pending = False
        del task
        gc.collect()
    gosched.run(lambda: None)
    assert state == ["ended"]


def test_exit_while_a_call_blocks(script):
    program = script(
        """
        import asyncio, gosched, time
        async def main():
            try:
                await asyncio.wait_for(gosched.aio.call(time.sleep, 3600), 0.05)
            except asyncio.TimeoutError:
                print("given up")
        asyncio.run(main())
        """
    )
    assert program.end() == (0, "given up\n", "")


def test_exit_after_calls(script):
    program = script(
        """
        import asyncio, gosched, time
        async def main():
            return await gosched.aio.call(pow, 2, 3)
        print(asyncio.run(main()), asyncio.run(main()))
        """
    )
    assert program.end() == (0, "8 8\n", "")


def test_fork(script):
    program = script(
        """
        import asyncio, gosched, os
        def say(text):
            os.write(1, f"{text}\\n".encode())
        async def main():
            return await gosched.aio.call(pow, 2, 3)
        say(asyncio.run(main()))
        pid = os.fork()
        say(asyncio.run(main()))
        if pid:
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        PYTHONWARNINGS="ignore",  # CPython warns of forks beside threads
    )
    status, out, err = program.end()
    assert (status, sorted(out.split()), err) == (0, ["0", "8", "8", "8"], "")
