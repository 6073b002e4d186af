"""A version that drops a site with reassigned agents is refused, or releases them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from services.appliance.supervisor.up import UpFailed
from services.cli.__main__ import app
from services.cli.client import VigieUnreachable
from services.cli.data import territory
from services.cli.system.prepare import find_dropped_sites, open_territory
from services.console.texts.world import FORMER_KIND
from services.runtime.log.transaction import FactRecord
from services.runtime.process.settings import Settings
from tests.shipped import FOLDER
from tests.shipped import territory as shipped_territory
from tests.unit.alerts.scene import Scene


def line(source: str, target: str, count: int) -> dict[str, Any]:
    return {
        "from": {"site": source},
        "to": {"site": target},
        "need_site": None,
        "metier_name": "agent d’accueil",
        "count": count,
    }


PAGES = {
    "": {"items": [line("cen-1", "cen-2", 4), line("cen-1", "telework", 9)], "next": "more"},
    "more": {"items": [line("cen-1", "gone-1", 12), line("gone-1", "cen-2", 2)], "next": None},
}


class Console:
    """Answers with the lines under way in two pages; away when there is nothing."""

    pages: dict[str, Any] = PAGES
    troubled_sites: tuple[dict[str, Any], ...] = ()

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def get(self, path: str) -> Any:
        if path.startswith("/api/v1/sites?"):
            return {"items": list(self.troubled_sites), "next": None}
        assert "state=approved%2Cdispatched%2Caccepted%2Carrived" in path
        if not self.pages:
            raise VigieUnreachable
        return self.pages["more" if "cursor=more" in path else ""]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """List the realms that received a version."""
    realms: list[str] = []

    class Producer:
        def __init__(self, *_: object) -> None: ...

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None: ...

    async def publish(_producer: object, _territory: object, realm: str) -> None:
        realms.append(realm)

    monkeypatch.setattr(territory, "ApiClient", Console)
    monkeypatch.setattr(territory, "RecordProducer", Producer)
    monkeypatch.setattr(territory, "publish_territory", publish)
    monkeypatch.setenv("VIGIE_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    return realms


def load(*options: str) -> Result:
    return CliRunner().invoke(app, ["territory", "load", str(FOLDER), *options])


def test_dropping_sites_with_moved_agents_is_refused_with_a_list(published: list[str]) -> None:
    invocation = load()
    assert invocation.exit_code == 1
    words = " ".join(invocation.output.split())
    assert "14 agents réaffectés de sites que cette version n’a plus" in words
    assert "gone-1" in words
    assert "< 3" in words, "few are not counted out"
    assert "telework" not in words, "what the version keeps is not listed"
    assert "--release" in words
    assert published == []


def troubled(id: str, name: str, *types: str, kind: str = "college") -> dict[str, Any]:
    return {"id": id, "name": name, "kind": kind, "causes": [{"type": type} for type in types]}


SITES = (
    troubled("gone-1", "Collège Ancien", "fire"),
    troubled("gone-2", "PMI Ancienne"),
    troubled("gone-3", "Retiré avant", "fire", kind=FORMER_KIND),
    troubled("cen-1", "Hôtel du Département", "fire"),
)


def test_dropping_a_site_in_an_incident_is_refused(
    published: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "pages", {"": {"items": [], "next": None}})
    monkeypatch.setattr(Console, "troubled_sites", SITES)
    invocation = load()
    assert invocation.exit_code == 1
    assert "Collège Ancien (gone-1)" in invocation.output
    assert "incident ouvert" in invocation.output
    assert "gone-2" not in invocation.output, "nothing is open there"
    assert "gone-3" not in invocation.output, "an earlier version dropped it"
    assert "cen-1" not in invocation.output, "the version keeps it"
    assert published == []
    assert load("--release").exit_code == 0
    assert published == ["92"]


def test_with_release_the_list_is_migrated(published: list[str]) -> None:
    invocation = load("--release")
    assert invocation.exit_code == 0, invocation.output
    assert "gone-1" in invocation.output
    assert published == ["92"]


@pytest.mark.parametrize(
    "pages",
    [{}, {"": {"items": [line("cen-1", "cen-2", 4)], "next": None}}],
    ids=["nothing answers", "nobody is concerned"],
)
def test_otherwise_it_is_published_silently(
    pages: dict[str, Any], published: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "pages", pages)
    invocation = load()
    assert invocation.exit_code == 0, invocation.output
    assert "réaffectés" not in invocation.output
    assert published == ["92"]


def _checked(folder: Path) -> Result:
    return CliRunner().invoke(app, ["territory", "check", str(folder)])


def test_an_unusable_rule_is_reported_before_the_publication(tmp_path: Path) -> None:
    """It would be refused as an input: a realm without rules, seen in the dead letters only."""
    folder = Path(shutil.copytree(FOLDER, tmp_path / "92"))
    assert _checked(folder).exit_code == 0
    levels = folder / "escalade.yaml"
    levels.write_text(
        levels.read_text(encoding="utf-8").replace("metric: open_incidents", "metric: mistyped", 1),
        encoding="utf-8",
    )
    invocation = _checked(folder)
    assert (
        invocation.exit_code,
        "alerts cannot use these rules: KeyError 'mistyped'" in invocation.output,
    ) == (1, True)


def test_a_folder_with_a_name_that_no_realm_may_have_is_reported(tmp_path: Path) -> None:
    """`vigie up` started with it, and `vigie directory import` ended in a traceback."""
    invocation = _checked(Path(shutil.copytree(FOLDER, tmp_path / "mon-departement")))
    assert invocation.exit_code == 1
    assert "rename the folder" in invocation.output
    assert invocation.output.count(str(tmp_path)) == 1, "its path is named once"


async def test_a_start_without_a_territory_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UpFailed) as failed:
        await open_territory(Settings(territory=tmp_path))
    assert len(str(failed.value).splitlines()) == 1
    assert f"vigie territory check {tmp_path}" in str(failed.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("communes.geojson", None, "communes.geojson:0: cannot be read: No such file or directory"),
        ("communes.geojson", "{", "communes.geojson:0: no outlines by INSEE code"),
        ("communes.geojson", '{"features": []}', "communes.geojson:0: no outlines by INSEE code"),
        ("geocodes.csv", "a,b\n1,2\n", "geocodes.csv:1: missing columns: value_name"),
        (
            "geocodes.csv",
            "value_name,value,communes,sender\nNUTS3,FR105,99999,\n",
            "geocodes.csv:2: commune '99999' is not in communes.csv",
        ),
    ],
)
def test_a_map_that_no_screen_could_draw_is_a_problem_of_the_folder(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    """The check was content, and the console ended at every start."""
    folder = shutil.copytree(FOLDER, tmp_path / "92")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content, encoding="utf-8")
    invocation = CliRunner().invoke(app, ["territory", "check", str(folder)])
    assert (invocation.exit_code, said in invocation.output) == (1, True), invocation.output


# ── a changed folder at the next start ─────────────────────────────────────────────────────────────────────────────


def _facts_of(scene: Scene) -> list[FactRecord]:
    records = scene.service.log.of(scene.realm)
    return [fact for record in records for fact in record.transaction.facts]


def test_a_start_finds_the_sites_that_a_changed_folder_drops_in_an_incident() -> None:
    """`vigie up` published it, and the fire stood at a place that nobody could name any more."""
    scene, remaining_sites = (
        Scene(),
        {site.id for site in shipped_territory().sites} - {"pmi-04", "cen-2"},
    )
    scene.report(0, "fire", "pmi-04", severity=4)
    scene.report(0, "outage_power", "cen-2")
    assert find_dropped_sites(_facts_of(scene), remaining_sites) == ["cen-2", "pmi-04"]
    scene.report(5, "reopening", "cen-2")
    assert find_dropped_sites(_facts_of(scene), remaining_sites) == ["pmi-04"]
    assert find_dropped_sites(_facts_of(scene), remaining_sites | {"pmi-04"}) == []


def test_an_installed_territory_is_copied_once_to_be_changed(tmp_path: Path) -> None:
    folder = tmp_path / "territories" / "92"
    result = CliRunner().invoke(app, ["territory", "copy", str(folder)])
    assert (result.exit_code, result.output.splitlines()[0]) == (
        0,
        f"{folder}: a copy of {Settings().territory}",
    )
    assert CliRunner().invoke(app, ["territory", "check", str(folder)]).exit_code == 0
    (folder / "sites.csv").write_text("mine", encoding="utf-8")
    again = CliRunner().invoke(app, ["territory", "copy", str(folder)])
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    assert (folder / "sites.csv").read_text(encoding="utf-8") == "mine"
