"""The HTTP client of the `vigie` commands: finds the address and the token, says what went wrong in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx
import typer

from services.runtime.process.atomic_file import appearing
from services.runtime.process.settings import Settings


class Refused(RuntimeError):
    """Vigie answered with a problem document; `status` and `problem` are its content."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status, self.problem = status, problem


class Away(RuntimeError):
    """Nothing answers at the address, or what answers is not Vigie."""


def local_token(settings: Settings) -> str | None:
    """The token from the environment, else the data directory's own."""
    if settings.token:
        return settings.token
    path = settings.data.secrets / "admin.token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


class Client:
    """A session with one Vigie. Raises Away, also when it is made, and Refused."""

    def __init__(self, settings: Settings, timeout_s: float = 30.0) -> None:
        token = local_token(settings)
        if token and not (token.isascii() and token.isprintable()):
            raise Away(
                "the token (VIGIE_TOKEN, or secrets/admin.token) holds characters that no token has"
            )
        headers = {"Accept-Language": "fr"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        try:
            self._http = httpx.Client(
                base_url=settings.url, headers=headers, timeout=timeout_s, trust_env=False
            )
        except httpx.InvalidURL as exc:
            raise Away(f"VIGIE_URL={settings.url} is no address: {exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, JSON body) of a call that did not fail. `body`: bytes as they are, anything else as JSON."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        sent = {name: _encoded(value) for name, value in (headers or {}).items()}
        answer = self._answer(method, path, headers=sent, **content)
        return answer.status_code, self._document(answer)

    def read(self, path: str) -> httpx.Response:
        """A read that is no JSON: its bytes and headers."""
        return self._answer("GET", path)

    def save(self, path: str, file: Path) -> int:
        """A read as a file of its owner alone, which exists only when it is whole; its size. Raises OSError too."""
        try:
            with appearing(file, 0o600) as target, self._http.stream("GET", path) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise self._no_answer(answer)
                for block in answer.iter_bytes():
                    target.write(block)
        except httpx.RequestError as exc:
            raise Away(f"the answer of {self._http.base_url} broke off: {exc}") from exc
        return file.stat().st_size

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except (httpx.RequestError, httpx.InvalidURL) as exc:
            raise Away(no_answer(str(self._http.base_url), exc)) from exc
        if answer.is_success:
            return answer
        raise self._no_answer(answer)

    def _no_answer(self, answer: httpx.Response) -> Away | Refused:
        """What to raise of an answer that is no success."""
        if answer.status_code < 400:
            return self._stranger(answer)
        content = _content(answer)
        return Refused(
            answer.status_code,
            content if isinstance(content, dict) else {"title": str(content)[:200]},
        )

    def _document(self, answer: httpx.Response) -> dict[str, Any]:
        """JSON object of a success: everything that Vigie tells is one, or nothing (204)."""
        if answer.status_code == 204:
            return {}
        content = _content(answer)
        if not isinstance(content, dict) or not answer.headers.get("content-type", "").startswith(
            ("application/json", "application/problem+json")
        ):
            raise self._stranger(answer)
        return content

    def _stranger(self, answer: httpx.Response) -> Away:
        kind = answer.headers.get("content-type", "no content")
        return Away(
            f"what answers at {self._http.base_url} is not Vigie (HTTP {answer.status_code}, {kind}): see VIGIE_URL"
        )

    def get(self, path: str) -> Any:
        """JSON of a read."""
        return self.call("GET", path)[1]

    def post(self, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """(status, JSON) of a write; `key` is its Idempotency-Key."""
        return self.call("POST", path, body, {"Idempotency-Key": key} if key else None)

    def decided(self, pending: Mapping[str, Any], wait_s: int) -> Any:
        """What a decision that was under way has become within this time."""
        path = f"/api/v1/commands/{pending['command_id']}?{urlencode({'realm': pending['realm']})}"
        return self.call("GET", path, headers={"Prefer": f"wait={wait_s}"})[1]

    def send(self, path: str, content: bytes, media_type: str) -> Any:
        """JSON of a write of something that is not JSON."""
        return self._document(
            self._answer("POST", path, content=content, headers={"Content-Type": media_type})
        )


def _encoded(value: str) -> bytes:
    """Bytes of a header: a key may hold any letter."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"title": answer.text[:200]}


def no_answer(url: str, exc: Exception) -> str:
    """Why a request came back without an answer; when nothing listens there, what to do."""
    act = (
        "; start `vigie up`, or name another address (VIGIE_URL)"
        if isinstance(exc, httpx.ConnectError)
        else ""
    )
    return f"no answer from {url}: {exc or type(exc).__name__}{act}"


def fail(exc: Exception) -> typer.Exit:
    """Print the sentence of an error, then the fields that it does not name; the exit to raise (1: refused or failed)."""
    sentence = said(exc)
    typer.secho(sentence, err=True, fg="red")
    if isinstance(exc, Refused):
        errors = exc.problem.get("errors")
        for error in (e for e in errors if isinstance(e, dict)) if isinstance(errors, list) else ():
            if (line := f"{error.get('field', '')}: {error.get('detail', '')}") not in sentence:
                typer.secho(f"  {line}", err=True)
    return typer.Exit(1)


def said(exc: Exception) -> str:
    """The words of an error; of a file or folder: its name and what is wrong with it."""
    if isinstance(exc, OSError) and exc.filename is not None and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    return str(exc) or type(exc).__name__


def with_known_broker(settings: Settings) -> Settings:
    """The same settings, for a command that reads or writes topics. Raises typer.Exit with the reason shown when they name no broker."""
    if not settings.kafka:
        raise fail(ValueError("no broker: start `vigie up`, or set VIGIE_KAFKA"))
    return settings


def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The answer of one call to the running system, for a command that has nothing else to say. Raises typer.Exit with the reason shown."""
    try:
        with Client(Settings()) as client:
            return client.call(method, path, body, headers)[1]
    except (Away, Refused) as exc:
        raise fail(exc) from exc
