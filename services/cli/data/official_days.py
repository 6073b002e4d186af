"""`vigie territory official-days`: propose the official holidays for a second person to approve."""

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit

import httpx2 as httpx
import typer

from schemas import reference as ref
from schemas.reference import compute_version
from services.cli.client import print_error
from services.cli.crisis.decide import Key, post_decision
from services.cli.data.territory_changes import (
    ask_confirmation,
    fetch_current_version,
    show_differences,
)
from services.cli.lists import AsJson, Realm, parse_time
from services.runtime.process.settings import Settings
from services.territory.differences import compare_sections
from services.territory.official_days import (
    PARIS,
    DaysOff,
    OfficialDaysInvalid,
    merge_days,
    read_public_days,
    read_school_days,
)

PUBLIC_URL: Final = "https://calendrier.api.gouv.fr/jours-feries/metropole/{year}.json"
SCHOOL_URL: Final = "https://data.education.gouv.fr/api/explore/v2.1/catalog/datasets/fr-en-calendrier-scolaire/records"
HOSTS: Final = frozenset({"calendrier.api.gouv.fr", "data.education.gouv.fr"})
LIMIT: Final = 100
MOST_BYTES: Final = 2_000_000
TIMEOUT_S: Final = 30.0
YEARS: Final = 3


def official_days(
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    public: Annotated[
        list[Path] | None, typer.Option(help="Saved public holidays, a file per year")
    ] = None,
    school: Annotated[Path | None, typer.Option(help="Saved records of school holidays")] = None,
    zone: Annotated[str, typer.Option(help="Zone of the school holidays")] = "C",
    location: Annotated[str, typer.Option(help="Académie")] = "Versailles",
    effective: Annotated[
        str | None, typer.Option(help="Entry into force, ISO 8601. Default: at its approval")
    ] = None,
    realm: Realm = None,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation")] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Propose the official public and school holidays, which another person approves.

    Without files they are fetched from calendrier.api.gouv.fr and data.education.gouv.fr.
    """
    settings, today = Settings(), datetime.now(PARIS).date()
    try:
        fetched_days = DaysOff(
            tuple(
                day
                for content in _load_public(public, today.year)
                for day in read_public_days(content)
            ),
            read_school_days(_load_school(school, zone, location), zone, location, today),
        )
    except (OfficialDaysInvalid, OSError, httpx.HTTPError) as error:
        raise print_error(str(error) or type(error).__name__) from error
    base, sections = fetch_current_version(settings, realm)
    policy = next(s for s in sections if isinstance(s, ref.EscalationPolicy))
    days_off = DaysOff(policy.policy.holidays, policy.policy.school_holidays)
    after = merge_days(days_off, fetched_days, today)
    if after == days_off:
        typer.echo("les jours officiels sont déjà en vigueur")
        return
    new_section = policy.policy.model_copy(
        update={"holidays": after.public, "school_holidays": after.school}
    )
    new = [ref.EscalationPolicy(policy=new_section) if s is policy else s for s in sections]
    version = compute_version(new)
    _show(days_off, after)
    show_differences(version, base, compare_sections(sections, new))
    if not yes and not ask_confirmation():
        raise typer.Exit(1)
    body = {
        "sections": [section.model_dump(mode="json") for section in new],
        "effective_at": parse_time(effective) if effective else None,
        "reason": reason,
        "release": False,
        "foreseen": None,
    }
    message = (
        f"version {version} proposée : une autre personne l’approuve (vigie territory changes)"
    )
    post_decision("reference/changes", realm, body, key=key, as_json=as_json, success_text=message)


def _show(current_days: DaysOff, after: DaysOff) -> None:
    """Print the days that come and go."""
    for name, before, now in (
        ("jours fériés", set(current_days.public), set(after.public)),
        ("vacances scolaires", _write_spans(current_days), _write_spans(after)),
    ):
        added_days = ", ".join(sorted(now - before)) or "aucun"
        removed_days = ", ".join(sorted(before - now)) or "aucun"
        typer.echo(f"{name} : ajoutés : {added_days} ; retirés : {removed_days}", err=True)


def _write_spans(days: DaysOff) -> set[str]:
    return {f"{first} – {last}" for first, last in days.school}


def _load_public(files: list[Path] | None, year: int) -> list[bytes]:
    """Return the public holidays of each year. Raises OSError, httpx.HTTPError."""
    if files:
        return [file.read_bytes() for file in files]
    return [fetch(PUBLIC_URL.format(year=year + n)) for n in range(YEARS)]


def _load_school(file: Path | None, zone: str, location: str) -> bytes:
    if file is not None:
        return file.read_bytes()
    parameters = {
        "where": f'zones="Zone {zone}" and location="{location}"',
        "order_by": "start_date desc",
        "limit": LIMIT,
        "timezone": "Europe/Paris",
    }
    return fetch(f"{SCHOOL_URL}?{urlencode(parameters)}")


def fetch(url: str, client: httpx.Client | None = None) -> bytes:
    """Fetch one file of the two publishers within its limits.

    Raises httpx.HTTPError, OfficialDaysInvalid.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname not in HOSTS:
        raise OfficialDaysInvalid("outside the allow-list")
    end = time.monotonic() + TIMEOUT_S
    content = b""
    with (
        client or httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as session,
        session.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        for part in answer.iter_bytes():
            content += part
            if len(content) > MOST_BYTES or time.monotonic() > end:
                raise OfficialDaysInvalid(f"{parts.hostname}: the answer is too large or too slow")
    if answer.status_code != httpx.codes.OK:
        raise OfficialDaysInvalid(f"{parts.hostname}: http {answer.status_code}")
    return content
