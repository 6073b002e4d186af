"""`vigie territory official-days` proposes the official days; it never puts them in force itself."""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from typer.testing import CliRunner

from schemas.reference import EscalationPolicy
from services.cli.__main__ import app
from services.cli.data import official_days
from services.territory.official_days import OfficialDaysInvalid
from tests.shipped import territory
from tests.unit.territory.test_official_days import SCHOOL, public, school

RUNNER = CliRunner()


class Vigie:
    """Answers reads of the version in force, and keeps the proposals."""

    def __init__(self) -> None:
        self.proposed: list[dict[str, Any]] = []
        self.sections = {str(s.section): s.model_dump(mode="json") for s in territory().sections}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        if request.method == "POST":
            self.proposed.append(json.loads(request.content))
            done = {"state": "applied", "command_id": "c-1", "result": {"change": "ch-1"}}
            return httpx.Response(200, json=done)
        if name == "reference":
            index = {"version": territory().version, "sections": list(self.sections)}
            return httpx.Response(200, json=index)
        return httpx.Response(200, json=self.sections[name])


@pytest.fixture
def vigie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vigie:
    made = Vigie()
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("VIGIE_URL", "http://vigie.example")
    monkeypatch.setattr(
        "services.cli.client.httpx.Client",
        partial(httpx.Client, transport=httpx.MockTransport(made)),
    )
    return made


def save(folder: Path, year: int) -> list[str]:
    """Save the files of both publishers; return the options that name them."""
    (folder / "school.json").write_bytes(school(SCHOOL))
    (folder / "public.json").write_bytes(public(year))
    return ["--school", str(folder / "school.json"), "--public", str(folder / "public.json")]


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> date:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(2026, 11, 29, 12, tzinfo=tz)

    monkeypatch.setattr(official_days, "datetime", Clock)
    return date(2026, 11, 29)


def test_official_days_become_a_proposal_with_all_other_data_unchanged(
    vigie: Vigie, today: date, tmp_path: Path
) -> None:
    arguments = ["territory", "official-days", "--reason", "Arrêté du ministère", "--yes"]
    done = RUNNER.invoke(app, [*arguments, *save(tmp_path, today.year + 1)])
    assert done.exit_code == 0, done.output
    (body,) = vigie.proposed
    after = {s["section"]: s for s in body["sections"]}
    policy = EscalationPolicy.model_validate(after.pop("escalation")).policy
    assert "2027-07-14" in policy.holidays
    assert ("2026-12-19", "2027-01-03") in policy.school_holidays
    before = dict(vigie.sections)
    before.pop("escalation")
    assert after == before
    assert body["reason"] == "Arrêté du ministère"
    assert "effective_at" not in body, "at its approval"


def test_a_command_without_a_confirmation_proposes_nothing(
    vigie: Vigie, today: date, tmp_path: Path
) -> None:
    arguments = ["territory", "official-days", "--reason", "x", *save(tmp_path, today.year + 1)]
    assert RUNNER.invoke(app, arguments).exit_code == 1
    assert vigie.proposed == []


def test_a_file_that_is_not_understood_proposes_nothing(vigie: Vigie, tmp_path: Path) -> None:
    options = save(tmp_path, 2027)
    (tmp_path / "school.json").write_text('{"results": []}', encoding="utf-8")
    done = RUNNER.invoke(app, ["territory", "official-days", "--reason", "x", "--yes", *options])
    assert done.exit_code == 1
    assert vigie.proposed == []


@pytest.mark.parametrize(
    "url", ["http://calendrier.api.gouv.fr/x", "https://example.org/", "https://127.0.0.1/"]
)
def test_only_the_two_publishers_are_asked(url: str) -> None:
    with pytest.raises(OfficialDaysInvalid):
        official_days.fetch(url)


@pytest.mark.parametrize("status", [204, 302, 404, 503])
def test_an_answer_without_a_file_is_refused(status: int) -> None:
    door = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status)))
    with pytest.raises((OfficialDaysInvalid, httpx.HTTPError)):
        official_days.fetch(official_days.PUBLIC_URL.format(year=2027), door)


def test_a_file_that_is_too_large_is_not_read() -> None:
    large = b" " * (official_days.MOST_BYTES + 1)
    door = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=large)))
    with pytest.raises(OfficialDaysInvalid, match="too large"):
        official_days.fetch(official_days.PUBLIC_URL.format(year=2027), door)
