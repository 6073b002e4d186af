"""Serve the published pages from memory, also while the console is away. Rules D96, D97.

The front keeps the last version that the console gave, in a file as well. A request asks the
console again at most twice a second, so a retracted page is gone at once, and a crowd costs the
console nothing. Pages of other realms are passed on: they need an account.
"""

import asyncio
import gzip
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import orjson
import structlog

from services.intake.http.exchange import (
    Headers,
    Scope,
    Send,
    get_header,
    get_response_language,
    send_response,
)
from services.intake.reports.report_checks import UNANSWERED, Ask
from services.runtime.http.problems import ProblemError
from services.runtime.process.files import open_atomic_file

FILES_PATH: Final = "/publications.json"
"""Path of the console, for the front alone."""
PUBLIC: Final = "/public"
AGENTS: Final = "/demain"
ANSWER_MARK: Final = b"<!--answer-->"
MAX_COMPOSED: Final = 512
"""Answers to agents that are kept composed."""
FRESH_S: Final = 0.5
"""Age of the files from which a request asks the console again."""
FOLLOW_S: Final = 5.0
"""Seconds between questions to the console while nobody asks for a page."""
ANSWER_S: Final = 1.0
"""Seconds that the console gets for its answer; then the known files are served."""
AWAY_S: Final = 5.0
"""Pause after a request to the console without an answer."""
_SUFFIXES: Final = {
    "/public": "index{}.html",
    "/public.txt": "falc{}.txt",
    "/public.json": "public.json",
    "/public.atom": "public.atom",
}
_ACCEPTED: Final = {
    "application/json": "/public.json",
    "application/atom+xml": "/public.atom",
    "text/plain": "/public.txt",
}
_SIGNED_FOLDER: Final = "/public/"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file in the forms in which it is served."""

    content_type: bytes
    body: bytes
    gzip_body: bytes
    etag: str


class PublicPages:
    """The published files of the live realm."""

    def __init__(self, file: Path, live_realm: str) -> None:
        self._file = file
        self._live_realm = live_realm
        self._version = ""
        self._policy = b""
        self._files: Mapping[str, ServedFile] = {}
        self._agents: Mapping[str, Any] | None = None
        """Language → page for agents, its answers, and the names of sites and job families."""
        self._composed: dict[tuple[str, str, str], ServedFile] = {}
        self._ask_from = 0.0
        """Time from which a request asks the console, by the monotonic clock."""
        self._asking: asyncio.Task[None] | None = None
        self._load()

    def serves(self, scope: Scope) -> bool:
        """Return whether this request is for a published page of the live realm."""
        path = scope["path"]
        if path != AGENTS and path not in _SUFFIXES and not path.startswith(_SIGNED_FOLDER):
            return False
        realm = _read_query(scope).get("realm", self._live_realm)
        return realm == self._live_realm

    async def follow(self, ask: Ask) -> None:
        """Keep up with the published files, until cancelled."""
        while True:
            await self._renew(ask)
            await asyncio.sleep(FOLLOW_S)

    async def answer(self, scope: Scope, send: Send, ask: Ask) -> None:
        """Answer a GET. Raises ProblemError `not_found`, `console_away`."""
        if time.monotonic() >= self._ask_from:
            await self._renew_once(ask)
        if not self._files:
            raise ProblemError("console_away", retry_after_s=2)
        query = _read_query(scope)
        lang = "en" if (query.get("lang") or get_response_language(scope)) == "en" else "fr"
        path = scope["path"]
        if path == AGENTS:
            file = self._compose(lang, query.get("site", ""), query.get("metier", ""))
        else:
            file = self._files.get(_find_name(scope, lang))
        if file is None and path not in (PUBLIC, AGENTS):
            raise ProblemError("not_found")
        status = 200 if file is not None else 404
        await self._send(scope, send, status, file or self._files[f"none.{lang}"])

    def _compose(self, lang: str, site: str, metier: str) -> ServedFile | None:
        """Return the page for agents with the answer for their site and job family.

        A group without an answer of its own gets that of its site, then the one of all others.
        """
        if self._agents is None:
            return None
        parts = self._agents[lang]
        is_chosen = site in parts["sites"] and metier in parts["metiers"]
        key = (lang, site, metier) if is_chosen else (lang, "", "")
        if (composed := self._composed.get(key)) is not None:
            return composed
        answer = ""
        if is_chosen:
            answers = parts["answers"]
            answer = answers.get(f"{site}|{metier}") or answers.get(f"{site}|") or answers["|"]
            answer = answer.replace("{{site}}", parts["sites"][site])
            answer = answer.replace("{{metier}}", parts["metiers"][metier])
        body = parts["page"].encode().replace(ANSWER_MARK, answer.encode())
        if len(self._composed) >= MAX_COMPOSED:
            self._composed.clear()
        composed = self._composed[key] = _build_file("text/html; charset=utf-8", body)
        return composed

    async def _send(self, scope: Scope, send: Send, status: int, file: ServedFile) -> None:
        is_compressed = "gzip" in (get_header(scope, b"accept-encoding") or "")
        etag = f'"{file.etag}-gz"' if is_compressed else f'"{file.etag}"'
        headers: Headers = [
            (b"content-type", file.content_type),
            (b"cache-control", b"public, no-cache"),
            (b"etag", etag.encode()),
            (b"vary", b"accept, accept-encoding, accept-language"),
            (b"content-security-policy", self._policy),
        ]
        etags = [one.strip().removeprefix("W/") for one in _split_etags(scope)]
        if status == 200 and (etag in etags or "*" in etags):
            await send_response(send, 304, b"", headers[1:])
            return
        if is_compressed:
            headers.append((b"content-encoding", b"gzip"))
        await send_response(send, status, file.gzip_body if is_compressed else file.body, headers)

    async def _renew_once(self, ask: Ask) -> None:
        """Ask the console once for all waiting requests."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew(ask))
        await asyncio.shield(self._asking)

    async def _renew(self, ask: Ask) -> None:
        """Ask the console for newer files; without an answer the known ones stay."""
        try:
            answer = await ask(f"{FILES_PATH}?have={self._version}", ANSWER_S)
            if "files" in answer:
                self._take(answer)
                with open_atomic_file(self._file, 0o600) as target:
                    target.write(orjson.dumps(answer))
        except UNANSWERED as error:
            log.debug("public.unasked", error=f"{type(error).__name__}: {error}")
            self._ask_from = time.monotonic() + AWAY_S
            return
        self._ask_from = time.monotonic() + FRESH_S

    def _load(self) -> None:
        """Read the files of an earlier run. A broken copy counts as none."""
        try:
            self._take(orjson.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return
        except UNANSWERED as error:
            log.warning("public.unread", error=f"{type(error).__name__}: {error}")

    def _take(self, answer: Mapping[str, Any]) -> None:
        files = {
            name: _build_file(one["type"], b64decode(one["base64"]))
            for name, one in answer["files"].items()
        }
        self._version, self._policy = answer["version"], answer["policy"].encode()
        self._files, self._agents, self._composed = files, answer.get("agents"), {}


def _build_file(content_type: str, body: bytes) -> ServedFile:
    packed = gzip.compress(body, 6, mtime=0)
    return ServedFile(content_type.encode(), body, packed, sha256(body).hexdigest()[:32])


def _find_name(scope: Scope, lang: str) -> str:
    """Return the name of the file that a request means; `Accept` may choose its form."""
    path = scope["path"]
    if path == PUBLIC:
        accept = (get_header(scope, b"accept") or "").partition(",")[0].partition(";")[0]
        path = _ACCEPTED.get(accept.strip().lower(), path)
    end = ".en" if lang == "en" else ""
    name: str = _SUFFIXES.get(path, path.removeprefix(_SIGNED_FOLDER))
    return name.format(end)


def _read_query(scope: Scope) -> dict[str, str]:
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return {name: values[-1] for name, values in query.items()}


def _split_etags(scope: Scope) -> list[str]:
    return (get_header(scope, b"if-none-match") or "").split(",")
