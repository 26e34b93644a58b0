"""psycopg2, without a patch: a query holds its green thread, and nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gosched
import pytest
from conftest import until

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from demolib.errors import Unavailable  # noqa: E402
from demolib.postgres import Server  # noqa: E402


@pytest.fixture(scope="module")
def conninfo() -> Iterator[str]:
    try:
        with Server(max_connections=40) as server:
            yield server.conninfo
    except Unavailable as reason:
        pytest.skip(f"no PostgreSQL server: {reason}")


def query(connection, text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()


def test_one_query_waits_for_another(conninfo):
    """The first ends only by what another green thread does meanwhile."""
    a, b = psycopg2.connect(conninfo), psycopg2.connect(conninfo)
    b.autocommit = True
    query(a, "select pg_advisory_lock(5)")

    def main():
        waits = gosched.go(query, b, "select pg_advisory_lock(5)")
        asks = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        until(lambda: query(a, asks) == [(1,)])
        assert not waits.done()
        query(a, "select pg_advisory_unlock(5)")
        return waits.result(60)

    assert gosched.run(main) == [("",)]
    a.close()
    b.close()


def test_many_at_once(conninfo):
    connections = [psycopg2.connect(conninfo) for _ in range(30)]

    def main():
        asks = "select pg_sleep(0.05), %d"
        gs = [gosched.go(query, c, asks % i) for i, c in enumerate(connections)]
        return [g.result(60) for g in gs]

    assert gosched.run(main) == [[("", i)] for i in range(30)]
    for c in connections:
        c.close()


def test_an_error_of_the_server(conninfo):
    connection = psycopg2.connect(conninfo)

    def main():
        with pytest.raises(psycopg2.errors.DivisionByZero):
            gosched.go(query, connection, "select 1 / 0").result()

    gosched.run(main)
    connection.close()


def test_a_query_that_is_given_up(conninfo):
    """cancel() of the connection, from another green thread."""
    connection = psycopg2.connect(conninfo)
    other = psycopg2.connect(conninfo)
    pid = connection.get_backend_pid()

    def main():
        waits = gosched.go(query, connection, "select pg_sleep(60)")
        asks = f"select wait_event from pg_stat_activity where pid = {pid}"
        other.autocommit = True
        until(lambda: query(other, asks) == [("PgSleep",)])
        connection.cancel()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            waits.result(60)

    gosched.run(main)
    connection.close()
    other.close()
