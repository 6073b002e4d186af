"""Sources on the console's page are all that the front has."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest

from services.console.i18n import get_translator
from services.console.sites.sources_screen import SourceClient, list_source_lines


async def test_the_list_of_the_front_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("cursor") == "more":
            return httpx.Response(200, json={"items": [{"name": "b"}], "next": None})
        return httpx.Response(200, json={"items": [{"name": "a"}], "next": "more"})

    monkeypatch.setattr(
        "services.console.sites.sources_screen.httpx.AsyncClient",
        partial(httpx.AsyncClient, transport=httpx.MockTransport(answer)),
    )
    request: Any = SimpleNamespace(headers={})
    assert await SourceClient("http://front").of(request) == [{"name": "a"}, {"name": "b"}]


def test_a_source_over_its_rate_comes_before_healthy_ones() -> None:
    well = {
        "name": "a",
        "dialect": "generic",
        "site": None,
        "enabled": True,
        "silent": False,
        "over_rate": False,
        "last_seen": 1,
        "last_refusal": None,
        "heartbeat_s": None,
        "per_minute": 1.0,
        "accepted": 1,
        "refused": {},
    }
    chatty = well | {"name": "b", "over_rate": True, "refused": {"over_rate": 7}}
    chatty["heartbeat_s"] = 93_600
    names: Any = SimpleNamespace(site=str)
    lines = list_source_lines([well, chatty], names, get_translator("fr"))
    assert [(line.name, line.word, line.tone) for line in lines] == [
        ("b", "dépasse son débit", "over"),
        ("a", "entendue", ""),
    ]
    assert lines[0].reasons == "over_rate 7"
    assert [line.silence.replace("\u00a0", " ") for line in lines] == ["26 h 00", ""]
