"""A thousand blocking calls from asyncio, without a pool of threads."""

import asyncio
import sqlite3
import time

import gosched


def count(i):
    with sqlite3.connect(":memory:") as db:
        time.sleep(0.2)  # anything that blocks
        return db.execute("select ? + 1", (i,)).fetchone()[0]


async def main():
    start = time.monotonic()
    calls = [gosched.aio.call(count, i) for i in range(1000)]
    total = sum(await asyncio.gather(*calls))
    print(f"1000 calls of 0.2 s gave {total} in {time.monotonic() - start:.1f} s")


asyncio.run(main())
