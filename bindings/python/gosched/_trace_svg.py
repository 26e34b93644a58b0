"""The picture of a trace as an SVG: a row per OS thread, a colour per green thread.

The page is built back to front: tracks and time grid, the shafts of the arrows (seen between the
rows only, so that they cover nothing), bars, labels, the ends of the arrows, the key.  What is too
narrow to be seen is drawn two pixels wide, and once where there are many, so the size of the
picture does not grow with the trace.  Nothing is drawn outside the plot, whatever the times are.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ._trace_model import Call, Row, Run, Timeline, amount, counted, headline, ticks, unit_of

# ---- colours ----------------------------------------------------------------------------------


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """An sRGB colour from OKLCH, where equal lightness looks equally light in every hue."""
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    channels = (
        12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055
        for c in (min(1.0, max(0.0, c)) for c in linear)
    )
    return "#" + "".join(f"{round(c * 255):02x}" for c in channels)


def _family(name: str) -> str:
    """Green threads named alike but for a number belong together: "zlib 3" and "zlib 12"."""
    return re.sub(r"[\s#_.:-]*\d+$", "", name)


def _hues(names: Mapping[int, str]) -> dict[int, float]:
    """A hue per green thread: a family has a sector of the circle, its members spread in it."""
    families: dict[str, list[int]] = defaultdict(list)
    for g, name in names.items():
        families[_family(name)].append(g)
    hues: dict[int, float] = {}
    sector = 360 / max(1, len(families))
    for index, members in enumerate(families.values()):
        shades = min(len(members), 12 if len(families) == 1 else 5)
        for place, g in enumerate(members):
            offset = (place % shades - (shades - 1) / 2) / max(1, shades)
            hues[g] = (255 + sector * (index + 0.55 * offset)) % 360
        if len(families) == 1:
            for place, g in enumerate(members):
                hues[g] = (255 + 360 * (place % shades) / shades) % 360
    return hues


# ---- the page ---------------------------------------------------------------------------------

_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

# The picture brings its own background and asks which scheme the page has, so that it is readable
# on a light and on a dark page alike.  Bars look the same in both.
_STYLE = f"""
text {{ font-family: {_FONT}; font-size: 12px; fill: #57606a; }}
.paper {{ fill: #ffffff; stroke: #d0d7de; }}
.title {{ font-size: 16px; font-weight: 600; fill: #1f2328; }}
.label {{ font-size: 13px; font-weight: 600; fill: #1f2328; }}
.bar {{ font-size: 11px; fill: #10151a; }}
.bar {{ paint-order: stroke; stroke-width: 3px; stroke-linejoin: round; }}
.track {{ fill: #f3f5f7; }}
.grid {{ stroke: #d8dee4; stroke-width: 1; }}
.handoff, .retake {{ stroke: #24292f; stroke-width: 1.2; fill: none; }}
.handoff-end {{ fill: #24292f; }}
.retake {{ stroke: #cf222e; }}
.retake-end {{ fill: #cf222e; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #9198a1; }}
.paper {{ fill: #0d1117; stroke: #30363d; }}
.title, .label {{ fill: #f0f6fc; }}
.bar {{ fill: #10151a; }}
.track {{ fill: #161b22; }}
.grid {{ stroke: #262c36; }}
.handoff {{ stroke: #f0f6fc; }}
.handoff-end {{ fill: #f0f6fc; }}
.retake {{ stroke: #ff7b72; }}
.retake-end {{ fill: #ff7b72; }}
}}
"""

_WIDTH = 1200
_LEFT = 66  # where time 0 is
_RIGHT = _WIDTH - 24
_TOP = 78  # of the first row
_ROW = 30
_GAP = 12
MAX_ROWS = 14
_THIN = 2.0  # pixels that the shortest slice has
_MARK_SPACE = 8.0  # pixels from one mark to the next of its kind; those nearer are left out


@dataclass(frozen=True)
class _Shades:
    """The colours of one green thread."""

    solid: str
    tint: str
    line: str
    pattern: str  # id of the hatching


@dataclass(frozen=True)
class _Arrow:
    """A hand-off on the page: its place, the tops of the rows that it joins, its kind."""

    x: float
    source: float
    target: float | None
    kind: str


def _xy(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _text_width(text: str, size: float) -> float:
    """A safe guess: no font here has wider letters on average."""
    return len(text) * size * 0.6


class _Page:
    """The SVG being made."""

    def __init__(self, timeline: Timeline, rows: Sequence[Row], title: str | None) -> None:
        self.timeline = timeline
        self.rows = rows
        self.y = {row.m: _TOP + index * (_ROW + _GAP) for index, row in enumerate(rows)}
        self.bottom = _TOP + len(rows) * (_ROW + _GAP) - _GAP
        self.root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
        self.title = title or "Which OS thread ran which green thread"
        ET.SubElement(self.root, "title").text = f"{self.title}: {headline(timeline, rows)}"
        ET.SubElement(self.root, "style").text = _STYLE
        self.defs = ET.SubElement(self.root, "defs")
        self.shades: dict[int, _Shades] = {}
        hues = _hues(timeline.names)
        for row in rows:
            for g in sorted({part.g for part in row.parts}):
                if g not in self.shades:
                    self.shades[g] = self._shades(hues.get(g, 0.0))

    def _shades(self, hue: float, colourfulness: float = 1.0) -> _Shades:
        name = f"hatch{round(hue * 10)}" if colourfulness else "hatch"
        shades = _Shades(
            solid=_oklch(0.52, 0.17 * colourfulness, hue),
            tint=_oklch(0.88, 0.075 * colourfulness, hue),
            line=_oklch(0.72, 0.13 * colourfulness, hue),
            pattern=name,
        )
        if all(element.get("id") != name for element in self.defs):
            size = {"width": "6", "height": "6", "patternUnits": "userSpaceOnUse"}
            turn = {"patternTransform": "rotate(45)"}
            pattern = ET.SubElement(self.defs, "pattern", {"id": name, **size, **turn})
            self.add("rect", pattern, width=6, height=6, fill=shades.tint)
            self.add("rect", pattern, width=1.6, height=6, fill=shades.line)
        return shades

    def add(self, tag: str, parent: ET.Element | None = None, **attributes: Any) -> ET.Element:
        """An element; numbers are shortened, `_` stands for `-`, a trailing `_` is dropped."""
        made = {
            key.rstrip("_").replace("_", "-"): _xy(value)
            if isinstance(value, (int, float))
            else str(value)
            for key, value in attributes.items()
        }
        return ET.SubElement(self.root if parent is None else parent, tag, made)

    def write(self, x: float, y: float, words: str, kind: str = "", **more: Any) -> None:
        """Text with its baseline at y."""
        if kind:
            more["class_"] = kind
        self.add("text", x=x, y=y, **more).text = words

    def x(self, at: float) -> float:
        """The place of a time, inside the plot whatever the time is."""
        span = (self.timeline.end - self.timeline.start) or 1.0
        share = (at - self.timeline.start) / span
        return _LEFT + min(1.0, max(0.0, share)) * (_RIGHT - _LEFT)

    # -- parts of the page, from back to front

    def frame(self) -> None:
        self.write(24, 34, self.title, "title")
        self.write(24, 54, headline(self.timeline, self.rows) + self._left_out())
        size, unit = unit_of(self.timeline.end - self.timeline.start)
        for row in self.rows:
            y = self.y[row.m]
            width = _RIGHT - _LEFT
            self.add("rect", x=_LEFT, y=y, width=width, height=_ROW, rx=4, class_="track")
            self.write(_LEFT - 12, y + _ROW / 2 + 4.5, row.name, "label", text_anchor="end")
        for tick in ticks((self.timeline.end - self.timeline.start) / size, 10):
            x = self.x(self.timeline.start + tick * size)
            self.add("line", x1=x, y1=_TOP - 6, x2=x, y2=self.bottom + 6, class_="grid")
            anchor = "end" if x > _RIGHT - 20 else "middle"
            self.write(x, self.bottom + 22, f"{amount(tick)} {unit}", text_anchor=anchor)

    def _left_out(self) -> str:
        missing = len(self.timeline.rows) - len(self.rows)
        return f" (and {counted(missing, 'thread')} with less to show)" if missing else ""

    def bars(self) -> None:
        """Runs, the calls in them, and above these what is short and without a call: a green thread
        that only looks in, as a ticker does, is not to disappear under its neighbours."""
        for row in self.rows:
            y = self.y[row.m]
            starts = [call.start for call in row.calls]
            glances = [
                run
                for run in row.runs
                if self.x(run.end) - self.x(run.start) < _THIN
                and bisect_left(starts, run.start) == bisect_right(starts, run.end)
            ]
            hidden = set(glances)
            self._bars([run for run in row.runs if run not in hidden], y, _ROW)
            self._bars(row.calls, y + 1, _ROW - 2)
            self._bars(glances, y, _ROW)
        for row in self.rows:
            for call in row.calls:
                self._bar_label(call, self.y[row.m])

    def _bars(self, parts: Sequence[Run] | Sequence[Call], y: float, height: float) -> None:
        """Bars in the order of their times; of those that are too thin to see, one a pixel."""
        last = -1.0
        for part in parts:
            left, right = self.x(part.start), self.x(part.end)
            if right - left < _THIN:
                if left < last + 1.0:
                    continue
                last = left
                right = min(left + _THIN, float(_RIGHT))
                left = right - _THIN
            self._bar(part, left, right, y, height)

    def _bar(self, part: Run | Call, left: float, right: float, y: float, height: float) -> None:
        g, shades = part.g, self.shades[part.g]
        fill = shades.solid if isinstance(part, Run) else f"url(#{shades.pattern})"
        radius = 3 if right - left > 8 else 0
        width = right - left
        bar = self.add("rect", x=left, y=y, width=width, height=height, rx=radius, fill=fill)
        if isinstance(part, Run):
            bar.set("data-g", str(g))
            tip = f"G{g} {part.name}".rstrip()
        else:
            bar.set("data-call", part.name)
            bar.set("data-g", str(g))
            bar.set("stroke", shades.line)
            bar.set("stroke-width", "0.8" if right - left > 3 else "0")
            tip = f"G{g} in {part.name}" + (" (P retaken)" if part.retaken else "")
        ET.SubElement(bar, "title").text = f"{tip}, {(part.end - part.start) / 1000:.3f} ms"

    def _bar_label(self, call: Call, y: float) -> None:
        left, right = self.x(call.start), self.x(call.end)
        for words in (f"G{call.g} {call.name}", call.name, f"G{call.g}"):
            if _text_width(words, 11) <= right - left - 10:
                stroke = self.shades[call.g].tint
                self.write(left + 6, y + _ROW / 2 + 4, words, "bar", stroke=stroke)
                return

    def _arrows(self) -> list[_Arrow]:
        """The hand-offs to draw.

        They cross rows, so they keep a distance from each other over the whole page.  A P that
        nobody got at once is no hand-off, and one that went to a row left out has no target.
        """
        found: list[_Arrow] = []
        for move in self.timeline.moves:
            x = self.x(move.at)
            if move.target in (None, move.source) or move.source not in self.y:
                continue
            if not found or x - found[-1].x >= _MARK_SPACE:
                source, target = self.y[move.source], self.y.get(move.target or 0)
                found.append(_Arrow(x, source, target, move.kind))
        return found

    def shafts(self) -> None:
        """The lines of the arrows: behind the bars, so that they are seen between the rows."""
        for arrow in self._arrows():
            if arrow.target is not None:
                top, bottom = sorted((arrow.source, arrow.target))
                line = f"M{_xy(arrow.x)} {_xy(top + _ROW - 4)}V{_xy(bottom + 4)}"
                self.add("path", d=line, class_=arrow.kind)

    def marks(self) -> None:
        """The ends of the arrows: where the P came from, where it went."""
        for arrow in self._arrows():
            down = arrow.target is None or arrow.target > arrow.source
            y = arrow.source + (_ROW - 4 if down else 4)
            self.add("circle", cx=arrow.x, cy=y, r=2.2, class_=f"{arrow.kind}-end")
            if arrow.target is not None:
                tip = arrow.target + (2 if down else _ROW - 2)
                self.add("path", d=_head(arrow.x, tip, down), class_=f"{arrow.kind}-end")

    def legend(self) -> float:
        """The key of shapes and the list of green threads; returns the height it ends at."""
        flow = _Flow(self, self.bottom + 50)
        plain = self._shades(0.0, 0.0)
        hatch = f"url(#{plain.pattern})"
        flow.item("its own code", lambda x, y: self._swatch(x, y, plain.solid))
        flow.item("in a foreign call", lambda x, y: self._swatch(x, y, hatch, plain.line))
        kinds = {move.kind for move in self.timeline.moves if move.target is not None}
        words = {
            "handoff": "hand-off at the start of a call known to be long",
            "retake": "hand-off by sysmon out of a call",
        }
        for kind in sorted(kinds):
            flow.item(words[kind], partial(self._arrow_swatch, kind=kind))
        flow.line()
        families: dict[str, list[int]] = defaultdict(list)
        for g, name in self.timeline.names.items():
            if g in self.shades:
                families[_family(name)].append(g)
        for name, members in list(families.items())[:16]:
            numbers = _ranges(members)
            fills = [self.shades[g].solid for g in members[:5]]
            label = f"{name} ({numbers})" if name else numbers
            flow.item(label, partial(self._swatches, fills=fills))
        return flow.y + 18

    def _swatch(self, x: float, y: float, fill: str, stroke: str = "none") -> None:
        self.add("rect", x=x, y=y, width=16, height=12, rx=2.5, fill=fill, stroke=stroke)

    def _swatches(self, x: float, y: float, fills: Sequence[str]) -> None:
        width = 16 / len(fills)
        for index, fill in enumerate(fills):
            self.add("rect", x=x + index * width, y=y, width=width, height=12, fill=fill)

    def _arrow_swatch(self, x: float, y: float, kind: str) -> None:
        self.add("path", d=f"M{_xy(x + 8)} {_xy(y - 2)}V{_xy(y + 8)}", class_=kind)
        self.add("circle", cx=x + 8, cy=y - 2, r=2.2, class_=f"{kind}-end")
        self.add("path", d=_head(x + 8, y + 14, True), class_=f"{kind}-end")

    def finish(self, height: float) -> str:
        self.root.set("viewBox", f"0 0 {_WIDTH} {_xy(height)}")
        self.root.set("width", str(_WIDTH))
        self.root.set("height", _xy(height))
        paper = {"x": "0.5", "y": "0.5", "rx": "8", "class": "paper"}
        size = {"width": str(_WIDTH - 1), "height": _xy(height - 1)}
        self.root.insert(3, ET.Element("rect", {**paper, **size}))
        ET.indent(self.root, " ")
        return ET.tostring(self.root, encoding="unicode") + "\n"


class _Flow:
    """Lays legend entries out from left to right, in as many lines as they need."""

    def __init__(self, page: _Page, y: float) -> None:
        self.page = page
        self.x = float(_LEFT)
        self.y = y

    def item(self, words: str, symbol: Callable[[float, float], object]) -> None:
        width = 24 + _text_width(words, 12) + 20
        if self.x > _LEFT and self.x + width > _RIGHT:
            self.line()
        symbol(self.x, self.y - 10)
        self.page.write(self.x + 24, self.y, words)
        self.x += width

    def line(self) -> None:
        self.x = float(_LEFT)
        self.y += 24


def _head(x: float, tip: float, down: bool) -> str:
    back = tip - 6 if down else tip + 6
    return f"M{_xy(x - 3.6)} {_xy(back)}h7.2L{_xy(x)} {_xy(tip)}z"


def _ranges(numbers: Sequence[int]) -> str:
    """G3-G7, G9: numbers as ranges; the first few where there are many."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    words = [f"G{a}" if a == b else f"G{a}-G{b}" for a, b in found[:4]]
    return ", ".join(words) + (", …" if len(found) > 4 else "")


def svg(timeline: Timeline, *, title: str | None = None, max_rows: int = MAX_ROWS) -> str:
    """The picture as an SVG document.

    title      the heading; a plain one by default
    max_rows   most threads to show (the busiest ones); at least 1
    """
    if max_rows < 1:
        raise ValueError(f"max_rows is {max_rows}; it must be at least 1")
    page = _Page(timeline, timeline.busiest(max_rows), title)
    page.frame()
    page.shafts()
    page.bars()
    page.marks()
    return page.finish(page.legend())
