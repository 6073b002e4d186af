"""Register the source of a feed's reports at the front."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote, urlencode

from services.cli.client import ApiClient
from services.cli.system.token import wait_until_accepted
from services.runtime.secrets.keyring import write_private
from services.watch.connector import FeedSpec
from services.watch.engine import ALIVE_TYPE
from services.watch.front import get_source_key_file
from services.watch.settings import WatchSettings


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
