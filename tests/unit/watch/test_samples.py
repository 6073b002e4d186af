"""Each saved body gives the verdict and the posts that were written down for it."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from services.intake.reports.native import parse_report
from services.watch.connector import find_connector, list_connectors
from services.watch.samples import try_feed
from tests.unit.watch.samples import SAMPLES, Sample, list_samples, watched_92


@pytest.mark.parametrize("sample", list_samples(), ids=str)
def test_saved_body_gives_its_verdict_and_its_posts(sample: Sample) -> None:
    feed_outcome = try_feed(
        find_connector(sample.feed), sample.file, sample.after, sample.at, watched_92()
    ).dump()
    assert feed_outcome == {"verdict": sample.verdict, "posts": list(sample.posts)}


def test_the_front_reads_every_post() -> None:
    posts = list(chain.from_iterable(sample.posts for sample in list_samples()))
    assert len(posts) > 15
    for post in posts:
        parse_report(json.dumps(post["body"]).encode())


@pytest.mark.parametrize("connector", list_connectors(), ids=lambda c: c.spec.name)
def test_posts_keep_to_the_types_of_their_source(connector) -> None:
    bodies = [p["body"] for s in list_samples() if s.feed == connector.spec.name for p in s.posts]
    assert bodies
    assert {body["type"] for body in bodies} <= set(connector.spec.types)
    assert all(body["severity"] <= 4 for body in bodies)
    assert (SAMPLES / connector.spec.name).is_dir()
