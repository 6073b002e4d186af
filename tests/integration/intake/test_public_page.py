"""The public page on the whole system: published, served without the console, retracted (D96)."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.shipped import territory
from tests.system import RunningVigie
from tests.waiting import until

PAGE = "/api/v1/publications/services"


def stranger(vigie: RunningVigie) -> httpx.Client:
    """Return a client without an account."""
    return httpx.Client(base_url=vigie.url, timeout=20, trust_env=False, verify=False)


def report_closure(vigie: RunningVigie, site: str, **values: Any) -> None:
    report = {
        "type": "closure",
        "site_id": site,
        "severity": 3,
        "occurred_at": datetime.now(UTC).isoformat(),
    } | values
    answer = vigie.http.post("/api/v1/reports", json=report)
    assert answer.status_code == 202, answer.text


def names_waiting(vigie: RunningVigie) -> set[str]:
    return {change["name"] for change in vigie.get(PAGE)["changes"]}


def test_a_page_is_published_served_without_the_console_and_retracted(
    apart: RunningVigie, tmp_path: Path
) -> None:
    sites = next(s.sites for s in territory().sections if s.section == "sites")
    closed, doubtful = [site for site in sites if site.kind == "college"][:2]
    with stranger(apart) as reader:
        until(lambda: reader.get("/public").status_code == 404)
        until(lambda: apart.get(PAGE)["counts"]["open"] > 0)
        open_before = apart.get(PAGE)["counts"]["open"]
        report_closure(apart, closed.id)
        report_closure(apart, doubtful.id, certainty="unconfirmed")
        until(lambda: closed.name in names_waiting(apart))
        until(lambda: apart.get(PAGE)["counts"]["open"] == open_before - 2)
        assert reader.get("/public").status_code == 404, "nothing is public before"
        next_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        answer = apart.http.post(f"{PAGE}:publish", json={"next_at": next_at})
        assert answer.status_code == 200, answer.text
        until(lambda: reader.get("/public").status_code == 200)
        page = reader.get("/public")
        text = unescape(page.text)
        assert f"<li>{closed.name}, {closed.commune_name}" in text
        assert "Prochaine mise à jour le" in text
        assert doubtful.name not in text
        assert closed.id not in text
        assert "EXERCICE" not in text
        again = reader.get("/public", headers={"If-None-Match": page.headers["etag"]})
        assert again.status_code == 304

        exported = apart.cli("public", "export", str(tmp_path / "site"))
        assert exported.returncode == 0, exported.stderr
        assert (tmp_path / "site" / "index.html").read_text(encoding="utf-8") == page.text
        assert apart.cli("public", "show").stdout.startswith("Page publique : publiée, version 1")

        assert reader.get("/demain").status_code == 404, "the page for agents is a page of its own"
        agents = "/api/v1/publications/agents"
        assert apart.http.post(f"{agents}:publish").status_code == 200
        until(lambda: reader.get("/demain").status_code == 200)
        chosen = reader.get("/demain", params={"site": closed.id, "metier": "acheteur"})
        assert "Ce site est fermé : n’y allez pas." in unescape(chosen.text).replace("\u00a0", " ")
        other = reader.get("/demain", params={"site": doubtful.id, "metier": "acheteur"})
        assert "Rien n’est annoncé pour vous" in unescape(other.text)
        assert apart.http.post(f"{agents}:retract").status_code == 200
        until(lambda: reader.get("/demain").status_code == 404)

        lines = apart.get("/api/v1/log")["items"]
        assert any("Page publique publiée, version 1" in line["text"] for line in lines)

        console = apart.kill("console", signal.SIGSTOP)
        try:
            assert reader.get("/public").text == page.text
        finally:
            os.kill(console, signal.SIGCONT)

        until(lambda: apart.http.get(PAGE).status_code == 200)
        until(lambda: apart.http.post(f"{PAGE}:retract").status_code == 200)
        until(lambda: reader.get("/public").status_code == 404)
        assert closed.name not in unescape(reader.get("/public").text)
        assert apart.http.post(f"{PAGE}:retract").status_code == 409

    for site in (closed, doubtful):
        report_closure(apart, site.id, type="reopening")
    until(lambda: closed.name not in names_waiting(apart))
    for incident in apart.get("/api/v1/incidents?state=open")["items"]:
        apart.http.post(f"/api/v1/incidents/{incident['id']}/resolve", json={"reason": "essai"})
