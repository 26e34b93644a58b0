"""The picture of a trace as text: a line per OS thread, a character per stretch of time.

A character shows what most of its time went to: a green thread's own code, a foreign call, nothing;
or that something ran that was too short to show.  Hand-offs are marked where they happened, and a
foreign call that is long enough has its function's name written into it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ._trace_model import Call, Row, Run, Timeline, amount, counted, headline, ticks, unit_of

_OWN, _BRIEF, _CALL, _IDLE = "█", "▌", "▒", "·"


@dataclass
class _Cell:
    own: float = 0.0
    call: float = 0.0
    g: int | None = None
    weight: float = 0.0  # of the slice that g is from


def _spread(cells: list[_Cell], part: Run | Call, start: float, width: float) -> None:
    """Adds a slice to the cells that it touches."""
    first = min(len(cells) - 1, max(0, int((part.start - start) / width)))
    last = min(len(cells) - 1, max(first, math.ceil((part.end - start) / width) - 1))
    for index in range(first, last + 1):
        low = max(part.start, start + index * width)
        inside = max(0.0, min(part.end, start + (index + 1) * width) - low)
        cell = cells[index]
        if isinstance(part, Call):
            cell.call += inside
            cell.own -= inside
        else:
            cell.own += inside
        if cell.g is None or inside > cell.weight:
            cell.g, cell.weight = part.g, inside


def _symbol(cell: _Cell, width: float) -> str:
    if cell.g is None:
        return _IDLE
    if cell.own > 0.5 * width:
        return _OWN
    return _CALL if cell.call > 0.5 * width else _BRIEF


def _text_row(row: Row, timeline: Timeline, columns: int, colour: Mapping[int, int] | None) -> str:
    width = (timeline.end - timeline.start) / columns or 1.0
    cells = [_Cell() for _ in range(columns)]
    for part in row.parts:
        _spread(cells, part, timeline.start, width)
    symbols = [_symbol(cell, width) for cell in cells]
    for call in row.calls:
        first = int((call.start - timeline.start) / width) + 1
        last = min(columns, int((call.end - timeline.start) / width))
        words = f" {call.name} "
        if len(words) + 2 <= last - first:
            symbols[first : first + len(words)] = words
    for move in timeline.moves:
        if move.source == row.m and move.target is not None:
            place = min(columns - 1, max(0, int((move.at - timeline.start) / width)))
            if symbols[place] in (_OWN, _BRIEF, _CALL, _IDLE):
                symbols[place] = "▾"
    if colour is None:
        return "".join(symbols)
    painted: list[str] = []
    current: int | None = None
    for cell, symbol in zip(cells, symbols, strict=True):
        wanted = colour.get(cell.g) if cell.g is not None else None
        if wanted != current:
            painted.append("\x1b[0m" if wanted is None else f"\x1b[38;5;{wanted}m")
            current = wanted
        painted.append(symbol)
    return "".join(painted) + ("\x1b[0m" if current is not None else "")


def text(
    timeline: Timeline, *, columns: int = 100, max_rows: int = 16, colour: bool = False
) -> str:
    """The picture as lines of text, one per thread, with a time axis above and a key below.

    columns    width of a line, at least 40
    max_rows   most threads to show (the busiest ones); at least 1
    colour     paint green threads with ANSI colours
    """
    if columns < 40:
        raise ValueError(f"columns is {columns}; it must be at least 40")
    if max_rows < 1:
        raise ValueError(f"max_rows is {max_rows}; it must be at least 1")
    rows = timeline.busiest(max_rows)
    gutter = max([len(row.name) for row in rows] + [4]) + 2
    room = columns - gutter
    palette = (39, 208, 76, 170, 220, 44, 203, 141, 114, 180, 69, 215)
    paint = {g: palette[i % len(palette)] for i, g in enumerate(timeline.names)} if colour else None

    span = timeline.end - timeline.start
    size, unit = unit_of(span)
    axis = [" "] * room
    for tick in ticks(span / size, max(2, room // 14)):
        label = f"{amount(tick)} {unit}"
        place = int(tick * size / (span or 1.0) * room)
        if place + len(label) <= room:
            axis[place : place + len(label)] = label
    lines = [headline(timeline, rows), " " * gutter + "".join(axis).rstrip()]
    lines += [f"{row.name:<{gutter}}" + _text_row(row, timeline, room, paint) for row in rows]
    if len(timeline.rows) > len(rows):
        rest = len(timeline.rows) - len(rows)
        lines.append(f"{'':<{gutter}}(and {counted(rest, 'thread')} with less to show)")
    key = f"{_OWN} its own code  {_CALL} in a foreign call  {_BRIEF} a little of either  ▾ hand-off"
    lines.append(f"{'':<{gutter}}{key}")
    return "\n".join(lines) + "\n"
