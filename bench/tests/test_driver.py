"""Choosing rows, taking turns, reading what sides print, and the table."""

from __future__ import annotations

import unittest
from pathlib import Path

from driver import measure, report, sides
from driver.rows import ROWS, Batch, Row, Side, UnknownRowError, batches, select
from driver.sides import Effort
from driver.stats import Outcome, times

OURS, FLOOR, PEER = (
    Side("gosched", "c", "ours"),
    Side("floor", "c", "floor"),
    Side("Go", "go", "peer"),
)
PLAN = measure.Plan(rounds=2, cold_rounds=4, samples=1, target_ms=1)


def row(**options: object) -> Row:
    return Row("row", OURS, FLOOR, (PEER,), (times(0.5, "Go"),), **options)  # type: ignore[arg-type]


def found(*time: float) -> Outcome:
    return Outcome({"time": list(time), "rss": [1.0]}, "ns")


class SelectTest(unittest.TestCase):
    def test_no_names_mean_all(self) -> None:
        self.assertEqual(select([]), ROWS)

    def test_names_beginnings_and_patterns(self) -> None:
        names = [chosen.name for chosen in select(["yield.two", "py.block.100", "*.w1"])]
        self.assertIn("yield.two", names)
        self.assertIn("py.block.100.usleep", names)
        self.assertIn("chan.w1", names)
        self.assertNotIn("py.block.1000.usleep", names)
        self.assertNotIn("yield.ring", names)

    def test_an_unknown_name_is_told_with_what_is_accepted(self) -> None:
        with self.assertRaisesRegex(UnknownRowError, "'nonesuch'.*handoff"):
            select(["nonesuch"])

    def test_names_are_unique_and_goals_name_sides_of_their_row(self) -> None:
        self.assertEqual(len({each.name for each in ROWS}), len(ROWS))
        for each in ROWS:
            labels = [side.label for side in each.sides]
            self.assertEqual(len(set(labels)), len(labels), each.name)
            for goal in each.goals:
                self.assertIn(goal.against or each.ours.label, labels, each.name)


class MeasureTest(unittest.TestCase):
    def test_sides_take_turns(self) -> None:
        taken: list[str] = []

        def run(side: Side, _effort: Effort) -> Outcome:
            taken.append(side.label)
            return found(1)

        outcomes = measure.measure(Batch([row()]), PLAN, run)
        self.assertEqual(taken, ["floor", "gosched", "Go"] * 2)
        self.assertEqual(outcomes[OURS].samples["time"], [1, 1])

    def test_cold_rows_take_more_rounds(self) -> None:
        outcomes = measure.measure(Batch([row(cold=True)]), PLAN, lambda *_: found(1))
        self.assertEqual(len(outcomes[PEER].samples["time"]), 4)

    def test_a_missing_side_is_asked_once(self) -> None:
        taken: list[Side] = []

        def run(side: Side, _effort: Effort) -> Outcome:
            taken.append(side)
            return Outcome(why="go is not on PATH") if side == PEER else found(1)

        outcomes = measure.measure(Batch([row()]), PLAN, run)
        self.assertEqual(taken.count(PEER), 1)
        self.assertEqual(outcomes[PEER].why, "go is not on PATH")

    def test_a_side_that_fails_later_has_failed(self) -> None:
        answers = iter([found(1), Outcome(why="status 1", failed=True)])
        outcomes = measure.measure(Batch([Row("row", OURS)]), PLAN, lambda *_: next(answers))
        self.assertTrue(outcomes[OURS].failed)
        self.assertEqual(outcomes[OURS].samples, {})

    def test_rows_of_a_batch_share_their_sides(self) -> None:
        grouped = batches([row(batch="b"), Row("other", Side("x", "c", "x"), FLOOR, batch="b")])
        self.assertEqual(len(grouped), 1)
        self.assertEqual(len(grouped[0].sides), 4)


class SidesTest(unittest.TestCase):
    def test_a_result_is_read(self) -> None:
        line = '{"row": "r", "unit": "ms", "samples": [2.5], "rss_kib": 2048, "threads": 7}'
        outcome = sides.outcome(0, f"chatter\n{line}\n", "")
        self.assertEqual(outcome.samples, {"time": [2.5], "rss": [2.0], "threads": [7.0]})
        self.assertEqual(outcome.unit, "ms")

    def test_a_missing_peer_is_no_failure(self) -> None:
        outcome = sides.outcome(77, "", "No module named 'gevent'\n")
        self.assertEqual((outcome.why, outcome.failed), ("No module named 'gevent'", False))

    def test_what_goes_wrong_is_a_failure(self) -> None:
        for status, stdout, stderr in (
            (-11, "", ""),
            (1, "", "gsbench: gs_run: GS_ENOMEM\n"),
            (0, "", ""),
            (0, "no json", ""),
            (0, '{"row": "r", "unit": "ns", "samples": [], "rss_kib": 1, "threads": 0}', ""),
            (0, '{"row": "r", "unit": "ns", "samples": ["x"], "rss_kib": 1, "threads": 0}', ""),
        ):
            outcome = sides.outcome(status, stdout, stderr)
            self.assertTrue(outcome.failed, (status, stdout))
            self.assertTrue(outcome.why, (status, stdout))
        self.assertIn("signal 11", sides.outcome(-11, "", "").why)

    def test_the_environment_is_the_build_trees_own(self) -> None:
        base = {"GOSCHED_PROCS": "9", "GOMAXPROCS": "9", "PYTHONPATH": "/elsewhere", "HOME": "/h"}
        seen = sides.environment(base, Path("/build"))
        self.assertEqual(
            seen,
            {
                "HOME": "/h",
                "PYTHONPATH": "/build/python:/elsewhere",
                "LD_LIBRARY_PATH": "/build/lib",
                "LUA_CPATH": "/build/lua/?.so;/build/bench/?.so;;",
                "LUA_PATH": f"{sides.BENCH}/lua/?.lua;;",
                "GSBENCH_DIR": "/build/bench",
                "TCLLIBPATH": "{/build/tcl}",
            },
        )


class ReportTest(unittest.TestCase):
    def lines(self, **outcomes: Outcome) -> str:
        both = {OURS: found(10), FLOOR: found(5), PEER: found(40)}
        both |= {side: outcomes[side.row] for side in both if side.row in outcomes}
        notes = report.Footnotes()
        return "\n".join([*report.lines(report.Result(row(), both), notes), *notes.lines])

    def test_ratio_and_verdict(self) -> None:
        text = self.lines()
        self.assertIn("40 / 40 Go", text)
        self.assertIn("0.25x", text)
        self.assertIn("met: 0.25x", text)

    def test_a_missing_peer_is_unmeasured_and_says_why(self) -> None:
        text = self.lines(peer=Outcome(why="go is not on PATH"))
        self.assertIn("unmeasured [1] Go", text)
        self.assertTrue(text.splitlines()[0].endswith(" unmeasured [1]"), text)
        self.assertIn("[1] go is not on PATH", text)
        self.assertNotIn(" met", text)

    def test_gosched_that_fails_is_told_and_not_met(self) -> None:
        failed = Outcome(why="killed by signal 11", failed=True)
        result = report.Result(row(), {OURS: failed, FLOOR: found(5), PEER: found(40)})
        text = self.lines(ours=failed)
        self.assertTrue(text.splitlines()[0].endswith(" failed [1]"), text)
        self.assertIn("[1] killed by signal 11", text)
        self.assertNotIn(" met", text)
        self.assertEqual(result.failures, ["row: gosched failed: killed by signal 11"])

    def test_json_has_every_sample(self) -> None:
        both = {OURS: found(10, 12), FLOOR: found(5), PEER: found(40)}
        content = report.json_row(report.Result(row(), both))
        self.assertEqual(content["sides"]["gosched"]["samples"], [10, 12])
        self.assertEqual(content["sides"]["gosched"]["median"], 11)
        self.assertEqual(content["sides"]["Go"]["ratio"], 11 / 40)
        self.assertEqual(content["goals"][0]["verdict"], "met")


if __name__ == "__main__":
    unittest.main()
