"""The catalogue of the figures, histograms, and both ways to Prometheus."""

from __future__ import annotations

import math

import gosched
from prometheus_client import parser


def families(text):
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def values(family):
    return {
        (sample.name, sample.labels.get("le")): sample.value
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def some_calls(libc):
    def main():
        for g in [gosched.go(libc.usleep, 2000) for _ in range(4)]:
            g.join()

    gosched.run(main)


def test_the_catalogue_names_everything():
    metrics = gosched.metrics()
    numbers = [m.name for m in metrics if m.kind != "histogram"]
    assert numbers == list(gosched.stats())
    assert [m.name for m in metrics if m.kind == "histogram"] == list(gosched.histograms())
    assert all(m.text and m.unit and type(m.stable) is bool for m in metrics)


def test_histograms(libc):
    some_calls(libc)
    for h in gosched.histograms().values():
        assert h.count == sum(h.buckets)
        assert (h.sum > 0) == (h.count > 0)
        bounds = h.bounds()
        assert len(bounds) == len(h.buckets)
        assert bounds[:3] == [1e-6, 2e-6, 4e-6]
        assert bounds[-1] == math.inf


def check(found, frozen):
    """Every metric is there with its kind, and what does not change any more has its value."""
    for metric in gosched.metrics():
        name = f"gosched_{metric.name}"
        if metric.unit == "bytes":
            name += "_bytes"
        family = found.pop(name)
        assert family.type == metric.kind
        assert family.documentation == f"{metric.text}."
        of = values(family)
        if metric.kind == "counter":
            assert list(of) == [(f"{name}_total", None)]
        elif metric.kind == "gauge":
            assert list(of) == [(name, None)]
        else:
            buckets = [v for (n, le), v in of.items() if n == f"{name}_bucket"]
            assert buckets == sorted(buckets)
            assert of[f"{name}_bucket", "+Inf"] == of[f"{name}_count", None] == buckets[-1]
        if metric.name in frozen:
            assert next(iter(of.values())) == frozen[metric.name]
    assert not found


# After a run these stay as they are.
STILL = ("gs_live", "gs_created", "cgocalls", "switches", "parks")


def test_text(libc):
    some_calls(libc)
    check(families(gosched.metrics_text()), {name: gosched.stats()[name] for name in STILL})


def test_collector(libc):
    import gosched.prometheus
    from prometheus_client import CollectorRegistry, generate_latest

    some_calls(libc)
    registry = CollectorRegistry()
    collector = gosched.prometheus.register(registry)
    frozen = {name: gosched.stats()[name] for name in STILL}
    text = generate_latest(registry).decode()
    check(families(text), frozen)
    own, theirs = families(gosched.metrics_text()), families(text)
    assert {n: set(values(f)) for n, f in own.items()} == {
        n: set(values(f)) for n, f in theirs.items()
    }
    registry.unregister(collector)


def test_profile(libc):
    """Calls long enough to lose their P, unless sysmon comes too late: then again."""

    def main():
        for g in [gosched.go(libc.usleep, 20_000) for _ in range(4)]:
            g.join()
        return {p.name: p for p in gosched.profile()}

    for _ in range(100):
        found = gosched.run(main).get("usleep")
        if found and found.blocked:
            break
    assert found.blocked >= 1
    assert 0 < found.longest_seconds <= found.blocked_seconds
    assert found.now == 0
