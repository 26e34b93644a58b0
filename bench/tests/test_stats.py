"""Samples to figures, figures to verdicts: above all, what was not measured is never met."""

from __future__ import annotations

import unittest

from driver import stats
from driver.stats import MET, MISSED, UNMEASURED, Figures, at_most, figures, judge, plus, times


def exactly(value: float) -> Figures:
    return Figures(value, value, value, 1)


class FiguresTest(unittest.TestCase):
    def test_loops_give_minimum_and_median(self) -> None:
        self.assertEqual(figures([5, 1, 9], events=False), Figures(1, 5, 9, 3))

    def test_loops_of_one_thread_are_compared_by_their_minimum(self) -> None:
        self.assertEqual(figures([5, 1, 9], events=False, solo=True), Figures(1, 1, 5, 3))

    def test_events_give_p50_and_p99(self) -> None:
        samples = [float(n) for n in range(1, 201)]
        self.assertEqual(figures(samples, events=True), Figures(100, 100, 198, 200))

    def test_p99_of_few_samples_is_the_worst_one(self) -> None:
        self.assertEqual(stats.percentile([3, 50, 4], 99), 50)

    def test_no_samples_are_an_error(self) -> None:
        with self.assertRaises(ValueError):
            stats.percentile([], 50)


class JudgeTest(unittest.TestCase):
    def test_times_is_met_up_to_the_limit(self) -> None:
        goal = times(0.5, "Go")
        met = judge(goal, exactly(50), {"Go": exactly(100)})
        missed = judge(goal, exactly(51), {"Go": exactly(100)})
        self.assertEqual((met.verdict, met.value), (MET, 0.5))
        self.assertEqual((missed.verdict, missed.value), (MISSED, 0.51))

    def test_plus_is_held_against_the_difference(self) -> None:
        goal = plus(8, "ffi_call")
        self.assertEqual(judge(goal, exactly(47), {"ffi_call": exactly(40)}).value, 7)
        self.assertEqual(judge(goal, exactly(49), {"ffi_call": exactly(40)}).verdict, MISSED)

    def test_at_most_looks_at_the_figure_it_names(self) -> None:
        found = Figures(90, 90, 600, 10)
        self.assertEqual(judge(at_most(100), found, {}).verdict, MET)
        self.assertEqual(judge(at_most(500, "high"), found, {}).verdict, MISSED)

    def test_without_gosched_nothing_is_met(self) -> None:
        for goal in (times(0.5, "Go"), plus(8, "Go"), at_most(100)):
            verdict = judge(goal, None, {"Go": exactly(100)})
            self.assertEqual((verdict.verdict, verdict.missing), (UNMEASURED, "gosched"))

    def test_without_the_reference_nothing_is_met(self) -> None:
        for goal in (times(0.5, "Go"), plus(8, "Go")):
            for others in ({}, {"Go": None}):
                verdict = judge(goal, exactly(1), others)
                self.assertEqual((verdict.verdict, verdict.missing), (UNMEASURED, "Go"))

    def test_a_reference_of_nothing_gives_no_ratio(self) -> None:
        self.assertEqual(judge(times(1, "Go"), exactly(0), {"Go": exactly(0)}).verdict, UNMEASURED)
        self.assertIsNone(stats.ratio(exactly(1), exactly(0)))


if __name__ == "__main__":
    unittest.main()
