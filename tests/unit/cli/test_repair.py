"""`vigie repair`: which decisions are appended, and where."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.data import repair
from services.runtime.log.repair import CompletedRepair, LogDamage
from services.runtime.process.settings import Settings


@pytest.mark.parametrize(
    ("args", "accepted"),
    [
        (["--accept-loss"], []),
        (["--accept-loss", "--service", "delivery"], []),
        (["--service", "delivery", "--partition", "3"], []),
        (["--accept-loss", "--service", "delivery", "--partition", "3"], [("delivery", 3)]),
    ],
)
def test_a_loss_that_only_a_reader_had_seen_is_accepted_where_a_person_names_it(
    args: list[str], accepted: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int]] = []

    async def sound(_kafka: str, _service: str) -> list[LogDamage]:
        return []

    async def accept(
        _kafka: str, service: str, partition: int, _logic: int, detail: str
    ) -> CompletedRepair:
        done.append((service, partition))
        return CompletedRepair(service, partition, 7, 1, detail)

    @contextlib.asynccontextmanager
    async def broker(settings: Settings) -> AsyncIterator[Settings]:
        yield settings

    monkeypatch.setattr(repair, "run_broker", broker)
    monkeypatch.setattr(repair, "diagnose_logs", sound)
    monkeypatch.setattr(repair, "accept_loss", accept)
    answer = CliRunner().invoke(app, ["repair", *args])
    assert answer.exit_code == 0, answer.output
    assert done == accepted
    assert ("no damage" in answer.output) is not bool(accepted)
