"""Sources on the console's page are all that the front has."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from services.console.sources import SourceList


async def test_the_list_of_the_front_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("cursor") == "more":
            return httpx.Response(200, json={"items": [{"name": "b"}], "next": None})
        return httpx.Response(200, json={"items": [{"name": "a"}], "next": "more"})

    monkeypatch.setattr("services.console.sources.httpx.AsyncClient", partial(httpx.AsyncClient, transport=httpx.MockTransport(answer)))
    request: Any = SimpleNamespace(headers={})
    assert await SourceList("http://front").of(request) == [{"name": "a"}, {"name": "b"}]
