"""The front serves the published files from memory and from its file (D96)."""

from __future__ import annotations

import gzip
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from services.intake.http.public_pages import PublicPages
from services.runtime.http.problems import ProblemError

FILES = {
    "index.html": b"<p>un</p>" * 50,
    "index.en.html": b"<p>one</p>",
    "falc.txt": b"facile",
    "falc.en.txt": b"easy",
    "public.json": b"{}",
    "public.atom": b"<feed/>",
    "manifest.json": b"{}",
    "none.fr": b"<p>rien</p>",
    "none.en": b"<p>nothing</p>",
}


PARTS = {
    "page": "<main><!--answer--></main>",
    "answers": {
        "|": "rien : {{site}}, {{metier}}",
        "s-1|": "site : {{site}}",
        "s-1|m-1": "ailleurs : {{site}}, {{metier}}",
    },
    "sites": {"s-1": "Un &amp; Un", "s-2": "Deux"},
    "metiers": {"m-1": "agent", "m-2": "cadre"},
}


class Console:
    """Console that answers with a version of the files, or not at all."""

    def __init__(self) -> None:
        self.version, self.names = "v1", set(FILES)
        self.is_away = False
        self.agents: dict[str, Any] | None = dict.fromkeys(("fr", "en"), PARTS)
        self.asked: list[str] = []

    async def __call__(self, path: str, _wait_s: float) -> Any:
        self.asked.append(path)
        if self.is_away:
            raise OSError("away")
        if path.endswith(f"have={self.version}"):
            return {"version": self.version}
        files = {
            name: {"type": "text/html; charset=utf-8", "base64": b64encode(FILES[name]).decode()}
            for name in self.names
        }
        return {
            "version": self.version,
            "policy": "default-src 'none'",
            "files": files,
            "agents": self.agents,
        }

    def retract(self) -> None:
        self.version, self.names, self.agents = "v2", {"none.fr", "none.en"}, None


def scope(path: str = "/public", query: str = "", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"path": path, "method": "GET", "query_string": query.encode(), "headers": pairs}


async def ask(
    pages: PublicPages, console: Console, one: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    assert pages.serves(one)
    await pages.answer(one, send, console)
    headers = {name.decode(): text.decode() for name, text in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(part.get("body", b"") for part in messages[1:])


@pytest.fixture
def pages(tmp_path: Path) -> PublicPages:
    return PublicPages(tmp_path / "public.json", "92")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (scope(), "index.html"),
        (scope(query="lang=en"), "index.en.html"),
        (scope(accept_language="en"), "index.en.html"),
        (scope("/public.txt"), "falc.txt"),
        (scope("/public.txt", "lang=en"), "falc.en.txt"),
        (scope("/public.json"), "public.json"),
        (scope("/public.atom"), "public.atom"),
        (scope(accept="application/atom+xml"), "public.atom"),
        (scope("/public/manifest.json"), "manifest.json"),
        (scope(query="realm=92"), "index.html"),
    ],
)
async def test_each_address_has_its_file(
    pages: PublicPages, one: dict[str, Any], expected: str
) -> None:
    status, headers, body = await ask(pages, Console(), one)
    assert (status, body) == (200, FILES[expected])
    assert headers["content-security-policy"] == "default-src 'none'"


async def test_a_known_version_is_not_sent_again(pages: PublicPages) -> None:
    console = Console()
    _status, headers, _body = await ask(pages, console, scope())
    status, _, body = await ask(pages, console, scope(if_none_match=headers["etag"]))
    assert (status, body) == (304, b"")
    status, packed, body = await ask(pages, console, scope(accept_encoding="gzip, br"))
    assert (status, packed["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == FILES["index.html"]
    assert packed["etag"] != headers["etag"]
    status, _, _ = await ask(
        pages, console, scope(accept_encoding="gzip", if_none_match=f'"x", W/{packed["etag"]}')
    )
    assert status == 304


async def test_a_crowd_asks_the_console_once(pages: PublicPages) -> None:
    console = Console()
    for _ in range(200):
        await ask(pages, console, scope())
    assert len(console.asked) == 1


async def test_a_retracted_page_is_gone(
    pages: PublicPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    await ask(pages, console, scope())
    console.retract()
    monkeypatch.setattr("services.intake.http.public_pages.time.monotonic", lambda: 1e12)
    status, _, body = await ask(pages, console, scope())
    assert (status, body) == (404, FILES["none.fr"])
    with pytest.raises(ProblemError):
        await ask(pages, console, scope("/public.json"))


async def test_the_last_version_is_served_without_the_console_and_after_a_restart(
    pages: PublicPages, tmp_path: Path
) -> None:
    console = Console()
    await ask(pages, console, scope())
    console.is_away = True
    restarted = PublicPages(tmp_path / "public.json", "92")
    assert (await ask(restarted, console, scope()))[2] == FILES["index.html"]
    assert len(console.asked) == 2
    await ask(restarted, console, scope())
    assert len(console.asked) == 2, "an absent console is asked seldom"


async def test_a_front_that_never_had_a_version_says_that_the_console_is_away(
    pages: PublicPages,
) -> None:
    console = Console()
    console.is_away = True
    with pytest.raises(ProblemError) as refused:
        await ask(pages, console, scope())
    assert refused.value.problem.code == "console_away"


async def test_a_broken_copy_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "public.json").write_bytes(b'{"files": 3}')
    pages = PublicPages(tmp_path / "public.json", "92")
    assert (await ask(pages, Console(), scope()))[0] == 200


def test_an_exercise_is_never_served_without_an_account(pages: PublicPages) -> None:
    assert not pages.serves(scope(query="realm=92~ex-7"))
    assert not pages.serves(scope("/publication"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ""),
        ("site=s-1&metier=m-1", "ailleurs : Un &amp; Un, agent"),
        ("site=s-1&metier=m-2", "site : Un &amp; Un"),
        ("site=s-2&metier=m-1", "rien : Deux, agent"),
        ("site=<script>&metier=m-1", ""),
        ("site=s-1", ""),
    ],
)
async def test_an_agent_reads_the_answer_of_the_own_group(
    pages: PublicPages, query: str, expected: str
) -> None:
    status, _, body = await ask(pages, Console(), scope("/demain", query))
    assert (status, body.decode()) == (200, f"<main>{expected}</main>")


async def test_a_retracted_page_for_agents_is_gone(
    pages: PublicPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console()
    await ask(pages, console, scope("/demain", "site=s-1&metier=m-1"))
    console.retract()
    monkeypatch.setattr("services.intake.http.public_pages.time.monotonic", lambda: 1e12)
    assert (await ask(pages, console, scope("/demain", "site=s-1&metier=m-1")))[0] == 404
