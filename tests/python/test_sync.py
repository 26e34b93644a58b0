"""Mutex, RLock, Condition, Semaphore, Event, WaitGroup: between green threads, and with threads."""

from __future__ import annotations

import threading
import time
import weakref

import gosched
import pytest
from conftest import in_thread, until

LOCKS = [gosched.Mutex, gosched.RLock, gosched.Semaphore, gosched.Condition]


def run_all(*functions):
    """Runs all as green threads; their results."""

    def main():
        with gosched.TaskGroup() as tg:
            greens = [tg.go(f) for f in functions]
        return [g.result() for g in greens]

    return gosched.run(main)


@pytest.mark.parametrize("make", LOCKS)
def test_exclusion(make, hop):
    lock, state = make(), {"inside": 0, "count": 0}

    def work():
        for i in range(40):
            with lock:
                state["inside"] += 1
                assert state["inside"] == 1
                hop() if i % 4 == 0 else gosched.yield_now()
                state["count"] += 1
                state["inside"] -= 1

    run_all(*[work] * 8)
    assert state["count"] == 320


@pytest.mark.parametrize("make", LOCKS)
def test_exclusion_with_threads(make):
    lock, state = make(), {"inside": 0, "count": 0}
    threads = []

    def work(pause):
        for _ in range(50):
            with lock:
                state["inside"] += 1
                assert state["inside"] == 1
                pause()
                state["count"] += 1
                state["inside"] -= 1

    def thread_body():
        work(lambda: time.sleep(0))
        threads.append(1)

    def main():
        started = [threading.Thread(target=thread_body) for _ in range(3)]
        for t in started:
            t.start()
        with gosched.TaskGroup() as tg:
            for _ in range(3):
                tg.go(work, gosched.yield_now)
        for t in started:
            t.join()

    gosched.run(main)
    assert (state["count"], len(threads)) == (300, 3)


@pytest.mark.parametrize("make", [gosched.Mutex, gosched.Semaphore])
def test_acquire(make):
    lock = make()
    assert lock.acquire() is True
    assert lock.acquire(False) is False
    assert lock.acquire(blocking=False) is False
    with pytest.raises(TimeoutError, match="acquire: timed out"):
        lock.acquire(timeout=0.01)
    lock.release()
    assert lock.acquire(timeout=5) is True
    lock.release()
    with pytest.raises(ValueError, match="blocking=False, which never waits"):
        lock.acquire(False, 1)
    with pytest.raises(ValueError, match="timeout is -1; it must be 0 or more"):
        lock.acquire(timeout=-1)
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
        lock.acquire(timeout="1")


def test_acquire_inside():
    def main():
        lock = gosched.Mutex()
        with lock as itself:
            assert itself is lock and lock.locked()
            with pytest.raises(TimeoutError):
                lock.acquire(timeout=0.01)
            waiter = gosched.go(lock.acquire)
            until(lambda: waiter.state == "waiting")
            waiter.cancel()
            with pytest.raises(gosched.Cancelled):
                waiter.result()
        assert not lock.locked()

    gosched.run(main)


def test_release_of_what_is_free():
    with pytest.raises(gosched.Error, match="Mutex.release: it is not acquired"):
        gosched.Mutex().release()
    with pytest.raises(gosched.Error, match="not acquired by who releases it"):
        gosched.RLock().release()


def test_rlock_belongs_to_the_green_thread(hop):
    lock = gosched.RLock()

    def nested():
        with lock:
            with lock:
                hop()
                assert lock.acquire()
                lock.release()
            hop()
            gosched.yield_now()

    def stranger():
        lock.acquire()
        other = gosched.go(lock.acquire, False)
        assert other.result() is False
        with pytest.raises(gosched.Error):
            gosched.go(lock.release).result()
        lock.release()

    run_all(*[nested] * 5, stranger)
    assert not lock.locked()


def test_rlock_of_threads():
    lock = gosched.RLock()
    with lock:
        assert lock.acquire()
        assert in_thread(lambda: lock.acquire(False)) is False
        lock.release()
    assert in_thread(lambda: lock.acquire(False)) is True


@pytest.mark.parametrize("lock", [None, gosched.Mutex, gosched.RLock])
def test_condition(lock):
    condition = gosched.Condition(lock and lock())
    queue, got = [], []

    def consumer():
        with condition:
            got.append(condition.wait_for(lambda: queue and queue.pop()))

    def producer():
        for i in range(1, 6):
            gosched.sleep(0.001)
            with condition:
                queue.append(i)
                condition.notify()

    run_all(*[consumer] * 5, producer)
    assert sorted(got) == [1, 2, 3, 4, 5]


def test_condition_notify_counts():
    def main():
        condition, entered, woken = gosched.Condition(), [], []

        def wait(i):
            with condition:
                entered.append(i)
                condition.wait()
                woken.append(i)

        with gosched.TaskGroup() as tg:
            for i in range(6):
                tg.go(wait, i)
            until(lambda: len(entered) == 6)
            for n, total in ((2, 2), (0, 2), (1, 3)):
                with condition:
                    condition.notify(n)
                while len(woken) < total:
                    gosched.sleep(0.001)
                gosched.sleep(0.01)
                assert len(woken) == total
            with condition:
                condition.notify_all()

    gosched.run(main)


def test_condition_releases_a_nested_rlock():
    def main():
        condition = gosched.Condition()

        def notify():
            with condition:
                condition.notify()

        with condition, condition:
            gosched.go(notify)
            assert condition.wait(5) is True
            condition.release()
            assert gosched.go(condition.acquire, False).result() is False
            condition.acquire()

    gosched.run(main)


def test_condition_cancelled_holds_the_lock():
    def main():
        condition, held = gosched.Condition(gosched.Mutex()), []

        def wait():
            with condition:
                try:
                    condition.wait()
                finally:
                    held.append(condition.acquire(False))

        green = gosched.go(wait)
        until(lambda: green.state == "waiting")
        green.cancel()
        with pytest.raises(gosched.Cancelled):
            green.result()
        assert held == [False]
        assert condition.acquire(False)

    gosched.run(main)


def test_condition_with_threads():
    condition, ready = gosched.Condition(), []

    def main():
        def notify():
            with condition:
                ready.append(1)
                condition.notify_all()

        def wait():
            with condition:
                return condition.wait_for(lambda: ready, timeout=30)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for t in threads:
            t.start()
        green = gosched.go(wait)
        gosched.sleep(0.01)
        in_thread(notify)
        assert green.result()
        for t in threads:
            t.join(30)
            assert not t.is_alive()

    gosched.run(main)


def test_condition_errors():
    condition = gosched.Condition()
    for use in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(gosched.Error, match="its lock is not acquired"):
            use()
    with pytest.raises(
        TypeError, match=r"lock must be a gosched.Mutex or gosched.RLock, not.*lock"
    ):
        gosched.Condition(threading.Lock())
    with condition, pytest.raises(TimeoutError):
        condition.wait_for(lambda: False, timeout=0.01)


def test_semaphore_counts():
    semaphore, state = gosched.Semaphore(3), {"now": 0, "most": 0}

    def work():
        with semaphore:
            state["now"] += 1
            state["most"] = max(state["most"], state["now"])
            gosched.sleep(0.001)
            state["now"] -= 1

    run_all(*[work] * 20)
    assert state == {"now": 0, "most": 3}


def test_semaphore_release_many():
    semaphore = gosched.Semaphore(0)

    def release():
        gosched.yield_now()
        semaphore.release(4)

    assert run_all(*[semaphore.acquire] * 4, release) == [True] * 4 + [None]
    assert semaphore.acquire(False) is False
    for n in (0, -1, 2**31):
        with pytest.raises(ValueError, match=f"n is {n}; 1 to"):
            semaphore.release(n)
        if n:
            with pytest.raises(ValueError, match=f"value is {n}; 0 to"):
                gosched.Semaphore(n)


def test_event(hop):
    event, order = gosched.Event(), []

    def wait(i):
        event.wait()
        order.append(i)

    def main():
        assert not event.is_set()
        with pytest.raises(TimeoutError, match=r"Event.wait: timed out"):
            event.wait(0.01)
        with gosched.TaskGroup() as tg:
            for i in range(5):
                tg.go(wait, i)
            hop()
            order.append("set")
            event.set()
            event.set()
        assert order[0] == "set" and sorted(order[1:]) == list(range(5))
        assert event.wait() is True and event.wait(0) is True
        event.clear()
        event.clear()
        with pytest.raises(TimeoutError):
            event.wait(0)

    gosched.run(main)


def test_event_between_threads():
    event = gosched.Event()
    threading.Timer(0.02, event.set).start()
    assert gosched.run(lambda: event.wait(30)) is True
    event.clear()

    def main():
        gosched.go(lambda: (gosched.sleep(0.01), event.set()))
        return in_thread(lambda: event.wait(30))

    assert gosched.run(main) is True


def test_wait_group():
    def main():
        group, ended = gosched.WaitGroup(), []
        assert group.wait() is True
        group.add(3)
        for i in range(3):
            gosched.go(lambda i=i: (gosched.sleep(0.001 * i), ended.append(i), group.done()))
        with pytest.raises(TimeoutError):
            group.wait(0)
        group.wait()
        assert sorted(ended) == [0, 1, 2]
        with pytest.raises(ValueError, match="-1 would make the count negative"):
            group.done()
        with pytest.raises(ValueError, match="too large"):
            group.add(2**40)

    gosched.run(main)


@pytest.mark.parametrize(
    "make",
    [*LOCKS, gosched.Event, gosched.WaitGroup],
)
def test_weak_references_and_arguments(make):
    thing = make()
    gone = weakref.ref(thing)
    assert gone() is thing
    del thing
    assert gone() is None
    if make not in (gosched.Semaphore, gosched.Condition):
        with pytest.raises(TypeError, match="takes no arguments"):
            make(1)


def test_keyboard_interrupt_while_a_thread_waits(script):
    program = script(
        """
        import gosched
        event = gosched.Event()
        try:
            print("ready")
            event.wait()
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    program.wait_for("ready")
    time.sleep(0.05)
    program.process.send_signal(2)
    assert program.end() == (0, "interrupted\n", "")
