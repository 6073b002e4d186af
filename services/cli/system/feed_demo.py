"""Show the official feeds at work: play the shipped samples into an exercise of their own.

The source of the feed's reports is registered at the front.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from services.cli.client import ApiClient, ApiRefused, VigieUnreachable
from services.cli.system.token import wait_until_accepted
from services.runtime.process.settings import SHIPPED
from services.runtime.secrets.keyring import write_private
from services.watch.connector import FeedSpec, list_connectors
from services.watch.engine import ALIVE_TYPE
from services.watch.front import get_source_key_file
from services.watch.process import WatchSettings
from services.watch.sample_server import list_sampled_feeds
from services.watch.store import FeedStore

SAMPLES: Final = SHIPPED / "scenarios" / "feeds"
"""Saved bodies that the product ships."""
PREFIX: Final = "exemple-"
TITLE: Final = "FLUX"
PATIENCE_S: Final = 120.0
PAUSE_S: Final = 0.5
PASSING: Final = frozenset({404, 502, 503, 504})
"""Refusals that pass: the realm is not known yet, or nobody answered in time."""
RUNS_MINUTES: Final = 30 * 1440
"""Time for which the clock of the exercise runs."""


def register_source(
    settings: WatchSettings, spec: FeedSpec, realm: str | None, name: str | None = None
) -> None:
    """Make the source of a feed ready. May run twice; the key is written before it counts.

    Raises VigieUnreachable, ApiRefused, OSError.
    """
    source = name or spec.name
    file = get_source_key_file(settings.feed_keys, spec.name)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ApiClient(settings) as client:
        exists = any(item["name"] == source for item in list_sources(client))
        if exists and not file.exists():
            raise OSError(f"the source {source} exists, but its key is not in {file}")
        if not file.exists():
            write_private(file, secrets.token_urlsafe(32).encode(), replace=True)
        key = file.read_text(encoding="ascii").strip()
        if exists:
            client.post(f"/api/v1/sources/{quote(source, safe='')}/enable", {})
        else:
            client.post("/api/v1/sources", build_source(spec, key, realm) | {"name": source})
    wait_until_accepted(settings, key)


def build_source(spec: FeedSpec, key: str, realm: str | None) -> dict[str, Any]:
    """Return the source of a feed: its own types only, and a sign of life that is dropped."""
    return {
        "name": spec.name,
        "dialect": "cloudevents",
        "key": key,
        "speaks_as": spec.speaks_as,
        "speaks_for": [],
        "heartbeat_s": spec.heartbeat_s,
        "rules": [{"when": {"ce.type": ALIVE_TYPE.replace(".", r"\.")}, "drop": True}],
        "scope": {"sites": [], "types": list(spec.types), "realms": [realm] if realm else []},
    }


def list_sources(client: ApiClient) -> list[dict[str, Any]]:
    """Return all sources, page after page."""
    sources: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        page = client.get(f"/api/v1/sources{query}")
        sources += page["items"]
        cursor = page["next"]
    return sources


def open_feed_demo(settings: WatchSettings, folder: Path = SAMPLES) -> str:
    """Open an exercise in true time and switch its feeds on; return its name.

    The sources of an earlier demonstration stop, and its state is forgotten. Feeds of publishers
    keep their own state and keys. Raises VigieUnreachable, ApiRefused, OSError.
    """
    run = secrets.token_hex(3)
    realm = f"{settings.territory.name}~ex-flux-{run}"
    store = FeedStore(settings.feed_store)
    try:
        store.forget()
        with ApiClient(settings) as client:
            _open_realm(client, realm)
            insist(lambda: _stop_sources(client))
        now = datetime.now(UTC).timestamp()
        names = list_sampled_feeds(folder)
        for spec in [c.spec for c in list_connectors() if c.spec.name in names]:
            get_source_key_file(settings.feed_keys, spec.name).unlink(missing_ok=True)
            source = f"{PREFIX}{spec.name}-{run}"
            insist(partial(register_source, settings, spec, realm, source))
            store.enable(spec.name, now, enabled=True)
    finally:
        store.close()
    return realm


def insist(ask: Callable[[], object]) -> None:
    """Repeat a request while Vigie is starting or overloaded; it has to be repeatable.

    Raises VigieUnreachable, ApiRefused.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask()
            return
        except (VigieUnreachable, ApiRefused) as error:
            passing = isinstance(error, VigieUnreachable) or error.status in PASSING
            if not passing or time.monotonic() > end:
                raise
        time.sleep(PAUSE_S)


def _open_realm(client: ApiClient, realm: str) -> None:
    body = {
        "id": realm,
        "kind": "exercise",
        "title_code": TITLE,
        "started_at": datetime.now(UTC).isoformat(),
        "speed": 1.0,
    }
    open_headers = {"Idempotency-Key": f"open:{realm}"}
    insist(lambda: client.call("POST", "/api/v1/realms", body, open_headers))
    # The answer comes once the clock is there, which nobody waits for.
    path, run = f"/api/v1/realms/{realm}/step", {"minutes": RUNS_MINUTES}
    step_headers = {"Idempotency-Key": f"run:{realm}", "Prefer": "wait=1"}
    insist(lambda: client.call("POST", path, run, step_headers))


def _stop_sources(client: ApiClient) -> None:
    for item in list_sources(client):
        if item["name"].startswith(PREFIX) and item["enabled"]:
            client.post(f"/api/v1/sources/{quote(item['name'], safe='')}/disable", {})
