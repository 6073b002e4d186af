"""The logs of every earlier release are read and fold to their recorded hash."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from schemas.topics import SERVICES
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.delivery.decider import DeliveryDecider
from services.runtime.decider.protocol import Decider
from tests.golden.record import FOLDER
from tests.state_hash import compute_state_hash, fold_records

RELEASES = sorted(p.name for p in FOLDER.iterdir() if (p / "expected.json").exists())
DECIDERS: dict[str, Decider[Any]] = {
    "alerts": AlertsDecider(),
    "continuity": ContinuityDecider(),
    "delivery": DeliveryDecider(),
}


def records(release: str, service: str) -> list[bytes]:
    with gzip.open(FOLDER / release / f"{service}.jsonl.gz") as file:
        return file.read().splitlines()


def test_there_is_one_of_this_version() -> None:
    assert RELEASES


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("release", RELEASES)
def test_a_log_of_an_earlier_release_folds_to_its_recorded_hash(release: str, service: str) -> None:
    expected = json.loads((FOLDER / release / "expected.json").read_text())[service]
    view = fold_records(DECIDERS[service], enumerate(records(release, service)))
    assert (view.position.seq, view.position.hash, view.position.ignored) == (
        expected["seq"],
        expected["head"],
        0,
    )
    assert compute_state_hash(view) == expected["fold"]


def test_the_hash_tells_another_history() -> None:
    raws = records(RELEASES[-1], "alerts")
    hashes = {
        compute_state_hash(fold_records(DECIDERS["alerts"], enumerate(raws[:end])))
        for end in (1, len(raws) // 2, len(raws) - 1, len(raws))
    }
    assert len(hashes) == 4
