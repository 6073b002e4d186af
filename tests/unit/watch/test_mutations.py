"""Mutated bodies: no crash, and no post from a body that is not understood."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.watch.connector import (
    FeedBody,
    FetchVerdict,
    Memory,
    Reading,
    find_connector,
    list_connectors,
)
from tests.unit.watch.samples import Sample, list_samples, load_bodies, read

COLOURS = {"vert", "jaune", "orange", "rouge"}
LATER = timedelta(seconds=61)
READABLE = [s for s in list_samples() if s.verdict == "ok"]
NULLABLE = frozenset({"code_station", "closed_at"})
"""Fields in which null is a known form: the copy of a site, an alert that is still open."""
JUNK: list[Any] = [None, {}, [], -1, 99, 1.5, "²", "xx", True, "2019-01-01", 10**30, [[]]]


def read_twice(sample: Sample, bodies: dict[str, FeedBody]) -> list[Reading]:
    """Read the bodies before a sample, then mutated bodies twice."""
    memory: Memory = {}
    connector = find_connector(sample.feed)
    for path in sample.after:
        before = load_bodies(sample.feed, path.name)
        at = (connector.read_time(before) or sample.at - timedelta(days=1)) + LATER
        for _ in range(2):
            memory = read(connector, before, at, memory).memory
            at += LATER
    readings = []
    for n in range(2):
        readings.append(read(connector, bodies, sample.at + LATER * n, memory))
        memory = readings[-1].memory
    return readings


def check(sample: Sample, readings: list[Reading]) -> None:
    """Check the invariants of every body."""
    spec = find_connector(sample.feed).spec
    for reading in readings:
        assert not any(fault.startswith("reader:") for fault in reading.faults), reading.faults
        if reading.verdict in (FetchVerdict.REFUSED, FetchVerdict.STALE):
            assert reading.posts == []
        json.dumps(reading.memory)
        for post in reading.posts:
            body = post.body
            assert body["type"] in spec.types
            assert 1 <= body["severity"] <= 4
            assert body.get("colour", "vert") in COLOURS
            assert body["alias"] == post.key
            assert "@" not in post.key
            assert datetime.fromisoformat(body["occurred_at"]).tzinfo is not None


def list_leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths of all nodes below the root."""
    paths = []
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        paths.append((*path, key))
        if isinstance(child, dict | list):
            paths += list_leaves(child, (*path, key))
    return paths


def replace_node(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = deepcopy(document)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def mutate_bytes(data: st.DataObject, content: bytes) -> bytes:
    """Cut, repeat, or replace a part of a body."""
    start = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(0, 40))
    kind = data.draw(st.sampled_from(["cut", "drop", "repeat", "replace", "flip"]))
    if kind == "cut":
        return content[:start]
    if kind == "drop":
        return content[:start] + content[start + length :]
    if kind == "repeat":
        return content[: start + length] + content[start:]
    if kind == "flip":
        flipped = content[start] ^ (1 << data.draw(st.integers(0, 7)))
        return content[:start] + bytes([flipped]) + content[start + 1 :]
    return content[:start] + data.draw(st.binary(max_size=20)) + content[start + length :]


def mutate_once(data: st.DataObject) -> None:
    sample = data.draw(st.sampled_from(READABLE), label="sample")
    bodies = load_bodies(sample.feed, sample.file.name)
    name = data.draw(st.sampled_from(sorted(bodies)), label="body")
    content = mutate_bytes(data, bodies[name].content)
    check(sample, read_twice(sample, bodies | {name: FeedBody(name, content)}))


def replace_once(data: st.DataObject) -> None:
    """Replace one node of a document by junk: no key may appear that the true body lacks."""
    sample = data.draw(st.sampled_from([s for s in READABLE if s.file.suffix == ".json"]))
    bodies = load_bodies(sample.feed, sample.file.name)
    name = data.draw(st.sampled_from(sorted(bodies)))
    document = json.loads(bodies[name].content)
    path = data.draw(st.sampled_from(list_leaves(document)))
    junk = data.draw(st.sampled_from(JUNK))
    assume(path[-1] not in NULLABLE or junk is not None)
    content = json.dumps(replace_node(document, path, junk)).encode()
    readings = read_twice(sample, bodies | {name: FeedBody(name, content)})
    check(sample, readings)
    true_keys = {p.key for r in read_twice(sample, bodies) for p in r.posts}
    alert_posts = [p for r in readings for p in r.posts if p.body.get("msg_type") != "Cancel"]
    assert {p.key for p in alert_posts} <= true_keys


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_bytes_never_crash_a_connector(data: st.DataObject) -> None:
    mutate_once(data)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_junk_in_a_field_never_becomes_a_report(data: st.DataObject) -> None:
    replace_once(data)


@pytest.mark.soak
@settings(max_examples=5_000, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_five_thousand_mutated_bodies_crash_no_connector(data: st.DataObject) -> None:
    mutate_once(data)


@pytest.mark.soak
@settings(max_examples=5_000, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_five_thousand_bodies_with_junk_become_no_report(data: st.DataObject) -> None:
    replace_once(data)


def test_each_feed_is_mutated() -> None:
    assert {s.feed for s in READABLE} == {c.spec.name for c in list_connectors()}
