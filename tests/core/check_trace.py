"""Checks the trace that the program trace.c wrote: JSON that a trace viewer can show.

usage: check_trace.py FILE
"""

import collections
import json
import sys

WORKERS, CALLS = 8, 10


def check(holds, message):
    if not holds:
        sys.exit(f"check_trace.py: {message}")


def slices(events):
    """Yields (tid, name, begin, end) of every slice, from X or from B and E events, and checks
    that those of one thread nest."""
    open_slices = collections.defaultdict(list)
    for event in events:
        key = (event.get("pid"), event.get("tid"))
        if event["ph"] == "X":
            yield key, event["name"], event["ts"], event["ts"] + event["dur"]
        elif event["ph"] == "B":
            open_slices[key].append(event)
        elif event["ph"] == "E":
            check(open_slices[key], f"an E without a B on {key}: {event}")
            begun = open_slices[key].pop()
            check(event["ts"] >= begun["ts"], f"a slice that ends before it begins: {begun}")
            yield key, begun["name"], begun["ts"], event["ts"]
    check(not any(open_slices.values()), "a B without an E")


def check_nesting(found):
    """Two slices of a thread are apart or one is within the other (to a nanosecond's rounding)."""
    slack = 0.002
    by_thread = collections.defaultdict(list)
    for key, name, begin, end in found:
        check(end >= begin, f"{name} ends before it begins")
        by_thread[key].append((begin, -end, name))
    for key, of_thread in by_thread.items():
        stack = []
        for begin, minus_end, name in sorted(of_thread):
            while stack and stack[-1][0] <= begin + slack:
                stack.pop()
            check(
                not stack or -minus_end <= stack[-1][0] + slack,
                f"on {key}, {name} begins within {stack and stack[-1][1]} and outlasts it",
            )
            stack.append((-minus_end, name))


def check_blocks(events):
    """A P is taken from a call, or handed off by it, at most once, and within the call."""
    calls = [e for e in events if e["ph"] == "X" and e["cat"] == "call"]
    taken = collections.Counter()
    for event in events:
        if event["ph"] != "i" or event["name"] not in ("handoff", "retake"):
            continue
        inside = [
            (c["tid"], c["ts"])
            for c in calls
            if c["tid"] == event["tid"] and c["ts"] <= event["ts"] <= c["ts"] + c["dur"] + 0.002
        ]
        check(len(inside) == 1, f"in {len(inside)} calls instead of one: {event}")
        taken.update(inside)
    twice = [call for call, n in taken.items() if n > 1]
    check(not twice, f"calls that lost their P more than once: {twice}")


def main():
    check(len(sys.argv) == 2, "usage: check_trace.py FILE")
    with open(sys.argv[1], encoding="utf-8") as file:
        trace = json.load(file)
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    for event in events:
        check("ph" in event, f"no ph: {event}")
        if event["ph"] in "XBEi":
            check("pid" in event and "tid" in event, f"no pid or tid: {event}")
            check(event["ts"] >= 0, f"no time: {event}")
    found = list(slices(events))
    check_nesting(found)
    names = collections.Counter(name for _, name, _, _ in found)
    calls = names["sleepy_call"]
    check(calls == WORKERS * CALLS, f"{calls} calls of {WORKERS * CALLS} are in the trace: {names}")
    check(
        sum(1 for name in names if name.startswith("G") and name.endswith(" worker"))
        == WORKERS - 1,
        f"there should be {WORKERS - 1} different 'G<id> worker': {sorted(names)}",
    )
    check(
        any('odd "name" \\ \n' in name for name in names),
        f"the odd name is missing or changed: {sorted(names)}",
    )
    check(len({key for key, _, _, _ in found}) > 1, "everything is on one thread")
    check_blocks(events)
    instants = collections.Counter(event["name"] for event in events if event["ph"] == "i")
    check(
        instants["handoff"] + instants["retake"] > 0,
        f"neither a handoff nor a retake: {instants}",
    )
    print(f"{len(events)} events, {len(found)} slices, {dict(instants)}")


if __name__ == "__main__":
    main()
