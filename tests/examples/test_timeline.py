"""The picture of a trace: what is read, what is drawn, and that a damaged trace does no harm."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from gosched import timeline
from synthetic_trace import make

SVG = "{http://www.w3.org/2000/svg}"


def slice_(cat: str, name: str, tid: int, ts: float, dur: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "tid": tid, "ts": ts, "dur": dur, "args": args}


def handoff(ts: float, source: int, target: int | None) -> dict[str, Any]:
    args = {"p": 0, "domain": "python", "from": source, "to": target}
    event = {"ph": "i", "s": "t", "cat": "sched", "name": "handoff"}
    return {**event, "tid": source, "ts": ts, "args": args}


SMALL: dict[str, Any] = {
    "traceEvents": [
        {"ph": "M", "tid": 3, "name": "thread_name", "args": {"name": "M3"}},
        slice_("g", "G12 scan 1", 3, 1000.0, 800.0, g=12),
        slice_("call", "sqlite3_step", 3, 1100.0, 600.0, g=12, retaken=True),
        slice_("g", "G7", 4, 1200.0, 100.0, g=7),
        handoff(1150.0, 3, 4),
    ],
    "displayTimeUnit": "ns",
    "otherData": {},
}


def test_reads_runs_calls_and_moves() -> None:
    line = timeline.parse(SMALL)
    assert [(row.m, row.name) for row in line.rows] == [(3, "M3"), (4, "M4")]
    assert line.rows[0].runs == [timeline.Run(1000.0, 1800.0, 12, "scan 1")]
    assert line.rows[0].calls == [timeline.Call(1100.0, 1700.0, 12, "sqlite3_step", True)]
    assert line.moves == [timeline.Move(1150.0, "handoff", 3, 4, 0, "python")]
    assert (line.start, line.end) == (1000.0, 1800.0)
    assert line.names == {12: "scan 1", 7: ""}


def test_a_bare_list_of_events_and_begin_end_pairs_are_read() -> None:
    begin = {"ph": "B", "cat": "g", "name": "G5 five", "tid": 1, "ts": 10}
    line = timeline.parse([begin, {"ph": "E", "tid": 1, "ts": 30}])
    assert line.rows[0].runs == [timeline.Run(10.0, 30.0, 5, "five")]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"ph": "X"},
        {"ph": "X", "cat": "g", "tid": 1},
        {"ph": "X", "cat": "g", "name": "G1", "ts": 5, "dur": 1},
        {"ph": "X", "cat": "g", "name": None, "tid": 1, "ts": "soon", "dur": 1},
        {"ph": "X", "cat": "call", "name": "f", "tid": "one", "ts": 5, "dur": 1, "args": None},
        {"ph": "i", "cat": "sched", "name": "handoff", "ts": 5},
        {"ph": "M", "name": "thread_name", "tid": 1},
        {"ph": "E", "tid": 9, "ts": 5},
        {"ph": "C", "name": "counter", "tid": 3, "ts": 5, "args": {"x": 1}},
        "text",
        None,
    ],
)
def test_an_event_that_says_nothing_is_left_out(event: object) -> None:
    damaged = {"traceEvents": [*SMALL["traceEvents"], event]}
    assert timeline.parse(damaged) == timeline.parse(SMALL)


@pytest.mark.parametrize(
    ("kind", "target", "marks"),
    [
        ("handoff", 4, 1),
        ("retake", 4, 1),
        ("handoff", None, 0),  # nobody got the P: there is no hand-off to show
        ("handoff", 3, 0),
        ("handoff", 99, 1),  # to a thread that has nothing else in the picture
    ],
)
def test_hand_offs_are_drawn(kind: str, target: int | None, marks: int) -> None:
    events = [*SMALL["traceEvents"][:4], {**handoff(1150.0, 3, target), "name": kind}]
    root = ET.fromstring(timeline.svg(timeline.parse(events)))
    # The key shows one mark of each kind that there is.
    legend = 0 if target is None else 1
    assert len(root.findall(f"{SVG}circle[@class='{kind}-end']")) == marks + legend
    shafts = len(root.findall(f"{SVG}path[@class='{kind}']"))
    assert shafts == legend + (1 if target == 4 else 0)


@pytest.mark.parametrize("trace", [{}, {"traceEvents": "no"}, {"traceEvents": 3}, "text"])
def test_what_is_no_trace_is_refused(trace: Any) -> None:
    with pytest.raises(ValueError, match="traceEvents"):
        timeline.parse(trace)


def test_every_slice_is_drawn_in_its_row_and_inside_the_plot() -> None:
    line = timeline.parse(make())
    root = ET.fromstring(timeline.svg(line, max_rows=99))
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    tracks = [bar for bar in root.findall(f"{SVG}rect") if bar.get("class") == "track"]
    assert len(tracks) == len(line.rows)
    left = float(tracks[0].get("x", "0"))
    right = left + float(tracks[0].get("width", "0"))
    tops = [float(track.get("y", "0")) for track in tracks]
    bars = [bar for bar in root.findall(f"{SVG}rect") if bar.get("data-g")]
    assert {int(bar.get("data-g", "0")) for bar in bars} == set(line.names)
    for bar in bars:
        x, y, w, h = (float(bar.get(key, "nan")) for key in ("x", "y", "width", "height"))
        assert left - 0.01 <= x and x + w <= right + 0.02 and w > 0
        assert any(top <= y and y + h <= top + 30.01 for top in tops)
    for words in root.findall(f"{SVG}text"):
        assert 0 <= float(words.get("x", "nan")) <= width
        assert 0 <= float(words.get("y", "nan")) <= height


def test_wide_slices_have_the_width_of_their_time() -> None:
    line = timeline.parse(SMALL)
    root = ET.fromstring(timeline.svg(line))
    bars = {bar.get("data-call") or "run": bar for bar in root.findall(f"{SVG}rect[@data-g='12']")}
    run, call = (float(bars[name].get("width", "0")) for name in ("run", "sqlite3_step"))
    assert call / run == pytest.approx(600 / 800, rel=1e-3)
    assert "retaken" in (bars["sqlite3_step"].findtext(f"{SVG}title") or "")


def test_labels_in_a_row_do_not_overlap() -> None:
    root = ET.fromstring(timeline.svg(timeline.parse(make()), max_rows=99))
    rows: dict[str, list[tuple[float, float]]] = {}
    for words in root.findall(f"{SVG}text[@class='bar']"):
        start = float(words.get("x", "0"))
        end = start + 0.58 * 11 * len(words.text or "")
        rows.setdefault(words.get("y", ""), []).append((start, end))
    assert rows
    for spans in rows.values():
        spans.sort()
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_a_huge_trace_gives_a_picture_of_bounded_size() -> None:
    calls = [slice_("call", "f", 1, i * 1.0, 0.5, g=i % 50) for i in range(50_000)]
    picture = timeline.svg(timeline.parse(calls))
    assert len(picture) < 1_000_000


def test_the_busiest_rows_are_shown_and_the_others_counted() -> None:
    line = timeline.parse(make())
    shown = timeline.svg(line, max_rows=3)
    root = ET.fromstring(shown)
    labels = [t.text for t in root.findall(f"{SVG}text[@class='label']")]
    busiest = sorted(line.rows, key=lambda row: -row.busy())[:3]
    assert sorted(labels, key=str) == sorted(row.name for row in busiest)
    assert f"and {len(line.rows) - 3} threads with less to show" in shown


def test_names_are_quoted_and_cleaned() -> None:
    nasty = "<&\"'>]]> \x00\x1b\ud800"
    events = [slice_("g", f"G1 {nasty}", 1, 0, 100, g=1), slice_("call", nasty, 1, 0, 99, g=1)]
    root = ET.fromstring(timeline.svg(timeline.parse(events)))
    shown = "<&\"'>]]> " + 3 * "\N{REPLACEMENT CHARACTER}"
    assert any(bar.get("data-call") == shown for bar in root.iter(f"{SVG}rect"))


def test_text_has_a_row_per_thread_of_the_wanted_width() -> None:
    line = timeline.parse(make())
    drawn = timeline.text(line, columns=100, max_rows=99).splitlines()
    rows = [text for text in drawn if re.match(r"M\d+ ", text)]
    assert len(rows) == len(line.rows)
    assert {len(text) for text in rows} == {100}
    assert "▾" in "".join(rows) and "▒" in "".join(rows)


def test_text_shows_what_the_time_went_to() -> None:
    events = [
        slice_("g", "G1", 1, 0, 1000, g=1),
        slice_("call", "f", 1, 500, 500, g=1),
        slice_("g", "G2", 2, 0, 500, g=2),
    ]
    first, second = (
        text.split(maxsplit=1)[1]
        for text in timeline.text(timeline.parse(events), columns=46).splitlines()
        if text.startswith("M")
    )
    assert first == "█" * 20 + "▒ f " + "▒" * 16
    assert second == "█" * 20 + "·" * 20


def test_text_with_colour_has_the_same_characters() -> None:
    line = timeline.parse(make())
    plain, colour = timeline.text(line), timeline.text(line, colour=True)
    assert "\x1b[" in colour
    assert re.sub(r"\x1b\[[0-9;]*m", "", colour) == plain


def test_a_window_cuts_slices_at_its_ends() -> None:
    part = timeline.parse(SMALL).window(50.0, 300.0)
    assert [(run.start, run.end) for row in part.rows for run in row.runs] == [
        (1050.0, 1300.0),
        (1200.0, 1300.0),
    ]
    assert len(part.moves) == 1
    assert not timeline.parse(SMALL).window(0.0, 100.0).moves


@pytest.mark.parametrize("function", [timeline.svg, timeline.text])
def test_arguments_out_of_range_are_named(function: Any) -> None:
    with pytest.raises(ValueError, match="max_rows is 0"):
        function(timeline.parse(SMALL), max_rows=0)
    with pytest.raises(ValueError, match="columns is 39"):
        timeline.text(timeline.parse(SMALL), columns=39)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "gosched", "timeline", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_command_line_draws_both(tmp_path: Path) -> None:
    trace, picture = tmp_path / "trace.json", tmp_path / "out.svg"
    trace.write_text(json.dumps(make()), encoding="utf-8")
    done = command(trace, "-o", picture, "--text", "--from", "10", "--to", "30", "--title", "T")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 ms: ")
    assert ET.parse(picture).getroot().findtext(f"{SVG}title", "").startswith("T: 20 ms")


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        (None, ["--text"], "No such file"),
        ("{", ["--text"], "line 1 column 2"),
        ("{}", ["--text"], "traceEvents"),
        ('{"traceEvents": []}', ["--text"], "nothing ran in it"),
        (json.dumps(SMALL), [], "nothing to do"),
        (json.dumps(SMALL), ["--text", "--rows", "0"], "--rows 0"),
        (json.dumps(SMALL), ["--text", "--from", "5", "--to", "1"], "--from 5 --to 1"),
    ],
)
def test_command_line_says_what_is_wrong(
    tmp_path: Path, content: str | None, arguments: list[str], complaint: str
) -> None:
    trace = tmp_path / "trace.json"
    if content is not None:
        trace.write_text(content, encoding="utf-8")
    done = command(trace, *arguments)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
