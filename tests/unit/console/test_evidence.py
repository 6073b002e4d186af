"""An evidence bundle holds the whole story of an incident (D53, D56)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from zipfile import ZipFile

import pytest

from schemas.commands import MergeIncidents
from schemas.topics import log_topic
from services.console.evidence import collect
from services.console.evidence.collect import ExportRequest, write_bundle
from services.console.read_model.queries import ReadModel
from services.console.resource_base import Page
from services.console.web import times
from services.runtime.secrets.signing import SigningKey
from services.runtime.secrets.vault import TextItem
from tests.scenarios.memory import MemoryPlayer, played_to
from tests.scenarios.remembered import Remembered

MINUTE = 60_000


class MemoryLogs:
    """Logs of a played realm in place of a reader of Kafka."""

    def __init__(self, played: MemoryPlayer) -> None:
        self._logs = {
            log_topic(name): [stored.raw for stored in service.log.of(played.realm)]
            for name, service in played.system.services.items()
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def bounds(self, topic: str, partitions: list[int]) -> dict[int, tuple[int, int]]:
        return {p: (0, len(self._logs[topic])) for p in partitions}

    async def read(
        self, topic: str, ranges: Mapping[int, tuple[int, int]]
    ) -> AsyncIterator[SimpleNamespace]:
        (begin, end) = next(iter(ranges.values()))
        for offset in range(begin, end):
            yield SimpleNamespace(offset=offset, value=self._logs[topic][offset])


class Model(Remembered, ReadModel):
    """Read model without Redis: lines come from the logs of the player."""

    async def timeline(self, **values: Any) -> Page[Any]:
        view = await self.read()
        records, _more = await self._read_incident_lines(view.picture, values["incident"])
        return Page(items=self.shape_lines(view.shape, records, texts=False))

    async def heads(self) -> dict[str, tuple[int, str]]:
        return {}


async def export(
    played: MemoryPlayer, incident: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[Any]]:
    """Return the lines of each file of a bundle."""
    model: Any = Model(played).of(played.realm)
    monkeypatch.setattr(collect, "PartitionReader", lambda _kafka: MemoryLogs(played))
    merged = await model.merged_incidents(incident)
    request = ExportRequest(
        played.realm, await model.incident(incident), merged, "cell", "fr", raw_reports=True
    )

    async def nothing(*_: object) -> Any:
        return None

    parts = write_bundle(model, "", SigningKey.open(folder), request, nothing, nothing, 0)
    with ZipFile(BytesIO(b"".join([part async for part in parts]))) as zip:
        return {
            name: [json.loads(line) for line in zip.read(name).splitlines()]
            if name.endswith(".jsonl")
            else [zip.read(name)]
            for name in zip.namelist()
        }


async def read_plans(played: MemoryPlayer, incident: str) -> set[str]:
    """Return the plans of an incident in its list, on its page and in its explanation."""
    model: Any = Model(played).of(played.realm)
    plans = {plan.id for plan in (await model.plans(incident=incident)).items}
    assert set((await model.incident(incident)).plans) == plans
    assert set((await model.explain(incident)).plans) == plans
    return plans


@cache
def crisis() -> MemoryPlayer:
    """Return S04, a quarter of an hour after the cut; tests that change it take a copy."""
    return played_to("S04", 15, realm="92~ex-evidence", whole=False)


async def test_a_bundle_holds_the_incidents_that_were_merged_into_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls and lines before a merge stood in the bundle of neither incident."""
    played = crisis().copy()
    now = played.played.start + 20 * MINUTE
    (before,) = played.system.services["alerts"].state(played.realm).incidents.values()
    fire = {"site_id": "cen-4", "type": "fire", "severity": 4, "certainty": "confirmed"}
    played.report("fire", fire | {"occurred_at": times.of(now).isoformat()}, now)
    state = played.system.services["alerts"].state(played.realm)
    (other,) = set(state.open_incidents) - {before.id}
    alone = await export(played, before.id, tmp_path, monkeypatch)
    plans_before = await read_plans(played, before.id)
    assert plans_before
    author = {"author": "p-dgs", "role": "dgs_directeur_de_crise", "reason": "text:t-0"}
    merge = MergeIncidents(incident=before.id, into=other, **author)
    played.system.feed("alerts", played.realm, merge, id="merge", at=now + MINUTE)
    merged = await export(played, other, tmp_path, monkeypatch)
    for name in ("timeline.jsonl", "messages.jsonl", "escalations.jsonl"):
        assert alone[name]
        assert {row["id"] for row in alone[name]} <= {row["id"] for row in merged[name]}, name
    plans = await read_plans(played, other)
    assert plans_before <= plans, "a waiting decision stays on the page of the incident"
    for name in ("log/alerts.jsonl", "log/delivery.jsonl"):
        numbers = {row["seq"] for row in merged[name]}
        assert {row["seq"] for row in alone[name]} <= numbers, name


async def test_the_manifest_names_the_incident_beside_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo of a card put its own id in the place of the incident."""
    played = crisis()
    (incident,) = played.system.services["alerts"].state(played.realm).incidents

    async def read_photos(*_: object) -> list[tuple[str, TextItem]]:
        return [("ph-1", TextItem({}, raw=b"jpeg", content_type="image/jpeg"))]

    monkeypatch.setattr(collect, "_read_photos", read_photos)
    bundle = await export(played, incident, tmp_path, monkeypatch)
    assert "photos/ph-1.jpg" in bundle
    assert json.loads(bundle["manifest.json"][0])["incident"] == incident
