"""Runs gosched and its reference systems side by side and says what the ratios are.

    rows.py     what is measured, against what, and which ratio is wanted
    sides.py    the programs that measure: how they are built and started
    measure.py  the sides of a row by turns, several rounds
    plots.py    pictures of a run
    stats.py    samples to figures, figures to verdicts
    facts.py    the machine, and the versions of everything that was measured
    report.py   the table and the JSON file

Only the standard library is used, so that the driver runs wherever a side does.
"""
