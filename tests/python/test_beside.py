"""What else runs things at once lives beside green threads: asyncio, threads, pools, processes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import queue
import subprocess
import sys
import threading
import time

import gosched
from conftest import until


class Ticker:
    """A green thread that must go on whatever the others do."""

    def __enter__(self):
        self.ticks, self.stop = 0, False
        self.green = gosched.go(self.run)
        return self

    def run(self):
        while not self.stop:
            gosched.sleep(0.001)
            self.ticks += 1

    def __exit__(self, *exc):
        self.stop = True
        self.green.join()


def test_an_asyncio_loop_on_a_green_thread(hop):
    """It waits in its selector, and handles others' calls, while others go on."""

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main(loops):
        loops.append(asyncio.get_running_loop())
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            hop()  # the loop's green thread may be on another thread from here on
            echo = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print(7)", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await echo.communicate()
            late = asyncio.get_running_loop().create_future()
            loops.append(late)
            return line, out, await late, await asyncio.to_thread(pow, 2, 3)

    def green_main():
        loops = []
        with Ticker() as ticker:
            green = gosched.go(lambda: asyncio.run(main(loops)))
            until(lambda: len(loops) == 2)
            before = ticker.ticks
            until(lambda: ticker.ticks > before + 10)
            loop, late = loops

            async def there():
                return threading.get_ident()

            assert asyncio.run_coroutine_threadsafe(there(), loop).result(60) > 0
            # Afterwards the loop may end any moment.
            loop.call_soon_threadsafe(late.set_result, "from a green thread")
            return green.result(60)

    assert gosched.run(green_main) == (b"HELLO\n", b"7\n", "from a green thread", 8)


def test_asyncio_in_many_green_threads_at_once():
    async def main(i):
        await asyncio.sleep(0.01)
        return i, await asyncio.to_thread(lambda: i * 2)

    def green_main():
        greens = [gosched.go(lambda i=i: asyncio.run(main(i))) for i in range(20)]
        return [g.result(60) for g in greens]

    assert gosched.run(green_main) == [(i, 2 * i) for i in range(20)]


def test_ordinary_threads():
    """They talk by what threads talk by, in both directions; join waits without holding others."""

    def green_main():
        there, back = queue.Queue(), queue.Queue(1)
        turn, done = threading.Condition(), threading.Event()
        state = {"turn": 0}

        def body():
            while (item := there.get()) is not None:
                back.put(item * 2)
            with turn:
                turn.wait_for(lambda: state["turn"] == 1, 60)
                state["turn"] = 2
                turn.notify_all()
            done.wait(60)
            # From here green threads can be started, too.
            state["from there"] = gosched.go(pow, 2, 5).result(60)

        thread = threading.Thread(target=body)
        thread.start()
        with Ticker() as ticker:
            got = [gosched.go(back.get) for _ in range(100)]
            for i in range(100):
                gosched.go(there.put, i)
            assert sorted(g.result(60) for g in got) == [2 * i for i in range(100)]
            there.put(None)
            with turn:
                state["turn"] = 1
                turn.notify_all()
                assert turn.wait_for(lambda: state["turn"] == 2, 60)
            joining = gosched.go(thread.join)
            before = ticker.ticks
            until(lambda: ticker.ticks > before + 10)
            assert not joining.done()
            done.set()
            joining.result(60)
        assert state["from there"] == 32

    gosched.run(green_main)


def test_pools_of_threads():
    def green_main():
        with Ticker() as ticker, concurrent.futures.ThreadPoolExecutor(4) as pool:
            before = ticker.ticks
            slow = [pool.submit(time.sleep, 0.05) for _ in range(8)]
            waiting = [gosched.go(f.result, 60) for f in slow]
            squares = list(pool.map(lambda i: i * i, range(50)))
            for g in waiting:
                g.result(60)
            until(lambda: ticker.ticks > before + 10)
            # Work of the pool can start green threads and wait for them.
            nested = pool.submit(lambda: gosched.go(pow, 2, 3).result(60))
            assert nested.result(60) == 8
            return squares

    assert gosched.run(green_main) == [i * i for i in range(50)]


def _work(n):
    """In another process."""
    return gosched.run(lambda: sum(g.result() for g in [gosched.go(pow, i, 2) for i in range(n)]))


def _talk(connection, shared):
    while (item := connection.recv()) is not None:
        connection.send(item + 1)
    shared.put("over")


def test_multiprocessing():
    def green_main():
        for method in ("spawn", "fork"):
            context = multiprocessing.get_context(method)
            with Ticker() as ticker:
                before = ticker.ticks
                mine, theirs = context.Pipe()
                shared = context.Queue()
                process = context.Process(target=_talk, args=(theirs, shared))
                process.start()
                theirs.close()
                for i in range(20):
                    mine.send(i)
                    assert mine.recv() == i + 1
                mine.send(None)
                assert shared.get(timeout=60) == "over"
                process.join(60)
                assert process.exitcode == 0
                until(lambda before=before, ticker=ticker: ticker.ticks > before + 10)
                shared.close()
                shared.join_thread()

    gosched.run(green_main)


def test_pools_of_processes():
    def green_main():
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            return [f.result(120) for f in [pool.submit(_work, n) for n in (3, 4, 5)]]

    assert gosched.run(green_main) == [5, 14, 30]


def test_subprocess():
    def green_main():
        program = [sys.executable, "-c", "import sys; print(sys.stdin.read().upper())"]

        def run(i):
            done = subprocess.run(
                program, input=f"text {i}", capture_output=True, text=True, timeout=60, check=True
            )
            return done.stdout

        with Ticker() as ticker:
            waiting = subprocess.Popen(["sleep", "60"])
            green = gosched.go(waiting.wait)
            before = ticker.ticks
            got = list(gosched.map(run, range(10)))
            until(lambda: ticker.ticks > before + 10)
            assert not green.done()
            waiting.kill()
            assert green.result(60) == -9
            return got

    assert gosched.run(green_main) == [f"TEXT {i}\n" for i in range(10)]
