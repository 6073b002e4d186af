"""The HTTP client of the `vigie` commands: finds the address and the token, says what went wrong in one sentence."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import typer

from services.runtime.settings import Settings


class Refused(RuntimeError):
    """Vigie answered with a problem document; `status` and `problem` are its content."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status, self.problem = status, problem


class Away(RuntimeError):
    """Nothing answers at the address."""


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
    """A session with one Vigie. Raises Away and Refused."""

    def __init__(self, settings: Settings, timeout_s: float = 30.0) -> None:
        token = local_token(settings)
        headers = {"Accept-Language": "fr"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._http = httpx.Client(base_url=settings.url, headers=headers, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """(status, JSON body) of a call that did not fail. `body`: bytes as they are, anything else as JSON."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        answer = self._answer(method, path, headers=headers, **content)
        return answer.status_code, _content(answer)

    def read(self, path: str) -> httpx.Response:
        """A read that is no JSON: its bytes and headers."""
        return self._answer("GET", path)

    def save(self, path: str, file: Path) -> int:
        """A read as a file, which exists only when it is whole; its size. Raises OSError too."""
        part = file.with_name(file.name + ".part")
        try:
            with part.open("wb") as target, self._http.stream("GET", path) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise Refused(answer.status_code, _content(answer))
                for block in answer.iter_bytes():
                    target.write(block)
            part.replace(file)
        except httpx.TransportError as exc:
            raise Away(f"the answer of {self._http.base_url} broke off: {exc}") from exc
        finally:
            part.unlink(missing_ok=True)
        return file.stat().st_size

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as exc:
            raise Away(f"no answer from {self._http.base_url}: {exc}") from exc
        if answer.status_code >= 400:
            content = _content(answer)
            raise Refused(answer.status_code, content if isinstance(content, dict) else {"title": str(content)[:200]})
        return answer

    def get(self, path: str) -> Any:
        """JSON of a read."""
        return self.call("GET", path)[1]

    def post(self, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """(status, JSON) of a write; `key` is its Idempotency-Key."""
        return self.call("POST", path, body, {"Idempotency-Key": key} if key else None)

    def send(self, path: str, content: bytes, media_type: str) -> Any:
        """JSON of a write of something that is not JSON."""
        return _content(self._answer("POST", path, content=content, headers={"Content-Type": media_type}))


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"title": answer.text[:200]}


def fail(exc: Exception) -> typer.Exit:
    """Print the sentence of an error; the exit to raise (1: refused or failed)."""
    typer.secho(str(exc), err=True, fg="red")
    if isinstance(exc, Refused):
        for error in exc.problem.get("errors", []):
            typer.secho(f"  {error.get('field', '')}: {error.get('detail', '')}", err=True)
    return typer.Exit(1)


def ask(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The answer of one call to the running system, for a command that has nothing else to say. Raises typer.Exit with the reason shown."""
    try:
        with Client(Settings()) as client:
            return client.call(method, path, body, headers)[1]
    except (Away, Refused) as exc:
        raise fail(exc) from exc
