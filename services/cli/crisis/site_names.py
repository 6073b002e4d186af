"""Check site ids and suggest similar ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlencode

from services.cli.client import ApiClient, ApiRefused

MAX_SUGGESTIONS: Final = 3
SEND_ANYWAY: Final = "To send it all the same, add --unknown-site: a person links it later."


def fetch_site_names(client: ApiClient, realm: str | None) -> dict[str, str] | None:
    """Return id → name of every site, or None without permission or without data."""
    query = f"?{urlencode({'realm': realm})}" if realm else ""
    try:
        page = client.get(f"/api/v1/sites{query}")
    except ApiRefused:
        return None
    return {site["id"]: site["name"] for site in page["items"]}


def find_similar_sites(wanted: str, sites: Mapping[str, str]) -> list[str]:
    """Find sites with a similar id or with these words in their names."""
    words = _fold_text(wanted).split()
    named = [
        id
        for id, name in sites.items()
        if words and all(word in _fold_text(f"{id} {name}") for word in words)
    ]
    like = get_close_matches(wanted.lower(), sites, MAX_SUGGESTIONS, 0.6)
    return list(dict.fromkeys([*named, *like]))[:MAX_SUGGESTIONS]


def describe_unknown_site(wanted: str, sites: Mapping[str, str]) -> str:
    """Return the sentence about an unknown site, with similar sites."""
    near = [f"{id} ({sites[id]})" for id in find_similar_sites(wanted, sites)]
    meant = f" Did you mean {' or '.join(near)}?" if near else " List the sites with `vigie sites`."
    return f"no site {wanted}: nothing was sent.{meant} {SEND_ANYWAY}"


def _fold_text(text: str) -> str:
    return "".join(
        c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c)
    )
