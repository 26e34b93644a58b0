"""Checks the traces that the program trace.c wrote: JSON that a trace viewer can show.

usage: check_trace.py FILE          a trace of a known program, begun and ended in a stopped world
       check_trace.py --any FILE    any trace: what holds for all of them

Of any trace: slices of one track nest, no time is before the trace, tracks are named, what a P's
track says does not overlap, and a P is lost within a call and once only. Where nothing was lost
from the rings and the world was stopped, the events are as many as the counters of the metrics
went up by.
"""

import collections
import json
import sys

WORKERS, CALLS, BACKS = 8, 10, 3
THREADS, GREENS, PROCS = 1, 2, 3
STOP = "stop the world"
SLACK = 0.0015  # microseconds: times have three decimals


def check(holds, message):
    if not holds:
        sys.exit(f"check_trace.py: {message}")


def end_of(event):
    return event["ts"] + event["dur"]


def check_events(events):
    """Phases, times, and that every track with events has a name."""
    named = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    for event in events:
        check(event["ph"] in ("X", "i", "M"), f"what is this: {event}")
        check("pid" in event and "tid" in event and "name" in event, f"not all there: {event}")
        if event["ph"] == "M":
            continue
        check(event["ts"] >= 0, f"before the trace: {event}")
        check((event["pid"], event["tid"]) in named, f"on a track without a name: {event}")
        if event["ph"] == "X":
            check(event["dur"] >= 0, f"it ends before it begins: {event}")
        else:
            check(event["s"] == "t", f"an instant of no track: {event}")
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    check(
        processes == {THREADS: "threads", GREENS: "green threads", PROCS: "procs"},
        f"processes: {processes}",
    )


def check_nesting(events):
    """Two slices of a track are apart or one is within the other; those of a P are apart.

    Slices of a track without a duration may stand anywhere among those of the same time.
    """
    tracks = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    for track, slices in tracks.items():
        stack = []
        for event in sorted(slices, key=lambda e: (e["ts"], -e["dur"])):
            while stack and end_of(stack[-1]) <= event["ts"] + SLACK:
                stack.pop()
            check(
                not stack or end_of(event) <= end_of(stack[-1]) + SLACK,
                f"on {track}, {event} begins within {stack and stack[-1]} and outlasts it",
            )
            check(not stack or track[0] != PROCS, f"two threads had a P: {stack} {event}")
            stack.append(event)


# What may stand in what, on the track of a thread; None: in nothing.
WITHIN = {
    "g": {None},
    "call": {"g", "callback", None},  # None: it ran already when the trace began
    "callback": {"call", None},  # None: of a foreign thread
    "wait": {"callback"},
}


def check_kinds(events):
    tracks = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["pid"] == THREADS:
            tracks[event["tid"]].append(event)
    for slices in tracks.values():
        stack = []
        for event in sorted(slices, key=lambda e: (e["ts"], -e["dur"], order(e))):
            while (
                stack
                and end_of(stack[-1]) <= event["ts"] + SLACK
                and end_of(event) > end_of(stack[-1])
            ):
                stack.pop()
            around = stack[-1]["cat"] if stack else None
            if event["dur"] > 2 * SLACK:
                check(around in WITHIN[event["cat"]], f"{event} is within {stack[-1:]}")
            if not stack or stack[-1]["args"]["g"] == event["args"]["g"]:
                stack.append(event)


def order(event):
    return ["g", "call", "callback", "wait"].index(event["cat"])


def check_blocks(events):
    """A P is taken from a call, or handed off by it, within the call, and between two callbacks
    once at most."""
    calls = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X" and event["pid"] == THREADS and event["cat"] in ("call", "callback"):
            calls[event["tid"]].append(event)
    taken = collections.Counter()
    for event in events:
        if event["ph"] != "i" or event["name"] not in ("handoff", "retake"):
            continue
        inside = [
            c
            for c in calls[event["tid"]]
            if c["ts"] <= event["ts"] + SLACK and event["ts"] <= end_of(c) + SLACK
        ]
        of = [c for c in inside if c["cat"] == "call"]
        check(of, f"in no call: {event}")
        innermost = max(of, key=lambda c: (c["ts"], -c["dur"]))
        taken[event["tid"], innermost["ts"]] += 1
    for (tid, ts), n in taken.items():
        call = next(c for c in calls[tid] if c["cat"] == "call" and c["ts"] == ts)
        backs = [
            c
            for c in calls[tid]
            if c["cat"] == "callback" and call["ts"] <= c["ts"] <= end_of(call)
        ]
        check(n <= 1 + len(backs), f"it lost its P {n} times: {call}")


def check_tracks_agree(events):
    """What threads did and what green threads did is the same."""

    def what(pid, prefix):
        return collections.Counter(
            (e["cat"].removeprefix(prefix), e["args"]["g"], e["args"]["m"], e["ts"], e["dur"])
            for e in events
            if e["ph"] == "X" and e["pid"] == pid and e["cat"].removeprefix(prefix) in ("g", "call")
        )

    threads, greens = what(THREADS, ""), what(GREENS, "track-")
    check(threads == greens, f"{threads - greens} and {greens - threads} are on one side only")


def counts(events):
    """What the counters of the metrics should have gone up by."""
    slices = [e for e in events if e["ph"] == "X" and e["pid"] == THREADS]
    kinds = collections.Counter(e["cat"] for e in slices)
    instants = collections.Counter(e["name"] for e in events if e["ph"] == "i")
    begun = sum(1 for e in slices if e["args"].get("begun"))
    elsewhere = sum(
        1 for e in events if e["ph"] == "i" and e["name"] == "handoff" and e["args"]["p"] is None
    )
    return {
        "switches": kinds["g"] + kinds["wait"] - begun,
        "parks": sum(1 for e in slices if e["args"].get("park")),
        # Who stops the world stands in a call of its own, which can lose its P, too.
        "cgocalls": sum(1 for e in slices if e["cat"] == "call" and e["name"] != STOP),
        "handoffs": instants["pass"] + elsewhere,
        "handoffs_entry": instants["handoff"],
        # Of a call that began before the trace it is a relief.
        "retakes + retakes_user": instants["retake"] + instants["relief"],
        "steals": instants["steal"],
    }


def check_counts(trace):
    other = trace["otherData"]
    check(other["lost"] == 0, f"{other['lost']} events were lost")
    for names, n in counts(trace["traceEvents"]).items():
        counted = sum(other["metrics"][name] for name in names.split(" + "))
        check(counted == n, f"{names}: {n} events, {counted} counted")


def check_program(events):
    """What the program did."""
    slices = [e for e in events if e["ph"] == "X" and e["pid"] == THREADS]
    names = collections.Counter(e["name"] for e in slices)
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
    check(len({e["tid"] for e in slices}) > 1, "everything is on one thread")
    check(names["waits for another"] == 1, f"the call that must lose its P: {names}")
    check(names["callback"] == BACKS, f"{names['callback']} callbacks of {BACKS}: {names}")
    check(names["sleep"] >= BACKS, "they slept in there")
    waits = {e["name"] for e in events if e["ph"] == "X" and e.get("cat") == "track-wait"}
    check("sleep" in waits, f"what green threads waited for: {waits}")
    instants = collections.Counter(e["name"] for e in events if e["ph"] == "i")
    check(instants["handoff"] + instants["retake"] > 0, f"no P was lost: {instants}")
    check(instants["unpark"] > 0, f"nobody was woken: {instants}")


def main():
    arguments = sys.argv[1:]
    known = arguments[:1] != ["--any"]
    check(len(arguments) == (1 if known else 2), "usage: check_trace.py [--any] FILE")
    with open(arguments[-1], encoding="utf-8") as file:
        trace = json.load(file)
    events = trace["traceEvents"]
    check_events(events)
    check_nesting(events)
    check_kinds(events)
    check_blocks(events)
    check_tracks_agree(events)
    if known:
        check_counts(trace)
        check_program(events)
    kinds = collections.Counter(e.get("cat", "-") for e in events)
    print(f"{len(events)} events: {dict(kinds)}; counted: {counts(events)}")


if __name__ == "__main__":
    main()
