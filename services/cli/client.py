"""HTTP client of the `vigie` commands.

Finds the address and the token, goes on with another machine if one is away, and turns errors into
one sentence.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Self
from urllib.parse import urlencode

import httpx2 as httpx
import typer

from services.cli.output import show_progress, strip_controls
from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import DataDir, Settings

TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 3.0
"""Longest wait for a connection while other addresses are left to try."""
HEDGE_S: Final = 2.0
"""Wait for an answer after which the next address is asked, too."""
BROKER_AWAY: Final = (
    "the broker at {broker} does not answer: see `vigie status`, then `vigie doctor`"
)
_UNAVAILABLE: Final = frozenset({502, 503, 504})
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class FallbackTransport(httpx.BaseTransport):
    """Send each request to the first address that answers, beginning with the last good one.

    A request that may be sent twice (it only reads, or it has an Idempotency-Key) goes to the next
    address if a machine refuses it for now (502 to 504), breaks it off, or does not answer within
    `HEDGE_S`. Then the first useful answer counts. A refusal counts if nobody else answers within
    that time again.
    """

    def __init__(self, urls: Sequence[str], transport: httpx.BaseTransport | None = None) -> None:
        self._urls = [httpx.URL(url) for url in urls]
        self._transport = transport or httpx.HTTPTransport(trust_env=False)
        self._last_good = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first useful answer. Raises httpx.TransportError if no address answers."""
        many = len(self._urls)
        addresses = [(self._last_good + attempt) % many for attempt in range(many)]
        attempts = _Attempts(self._transport)
        failure: Exception | None = None
        refusal: httpx.Response | None = None
        try:
            while addresses or attempts.running:
                if addresses:
                    address = addresses.pop(0)
                    attempts.begin(address, _readdress(request, self._urls[address]))
                has_other_way = bool(addresses) or refusal is not None
                is_hedged = has_other_way and _may_hedge(request)
                outcome = attempts.wait(HEDGE_S if is_hedged else None)
                if outcome is None and not addresses:
                    break
                if outcome is None:
                    continue
                if outcome.answer is None:
                    failure = outcome.failure
                    if not (isinstance(failure, _NOT_SENT) or _may_repeat(request)):
                        break
                elif outcome.answer.status_code in _UNAVAILABLE and _may_repeat(request):
                    if refusal is not None:
                        refusal.close()
                    refusal = outcome.answer
                    if attempts.running:
                        self._last_good = outcome.address  # The other one does not even refuse
                else:
                    self._last_good = outcome.address
                    return outcome.answer
        finally:
            attempts.abandon()
        if refusal is not None:
            return refusal
        assert failure is not None, "there is one address at least"
        raise failure

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Answer or failure of one attempt."""

    address: int
    answer: httpx.Response | None = None
    failure: Exception | None = None


class _Attempts:
    """Attempts of one request, each in a thread that a command does not wait for at its end."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_abandoned = False
        self.running = 0

    def begin(self, address: int, request: httpx.Request) -> None:
        """Send the request without waiting."""
        self.running += 1
        threading.Thread(target=self._run, args=(address, request), daemon=True).start()

    def _run(self, address: int, request: httpx.Request) -> None:
        try:
            outcome = _Outcome(address, answer=self._transport.handle_request(request))
        except Exception as error:  # noqa: BLE001  raised again by the waiting thread
            outcome = _Outcome(address, failure=error)
        with self._lock:
            if not self._is_abandoned:
                self._outcomes.put(outcome)
            elif outcome.answer is not None:
                outcome.answer.close()

    def wait(self, patience_s: float | None) -> _Outcome | None:
        """Return the next outcome, None if it takes longer than that."""
        try:
            outcome = self._outcomes.get(timeout=patience_s)
        except Empty:
            return None
        self.running -= 1
        return outcome

    def abandon(self) -> None:
        """Close the answers that nobody waits for any more."""
        with self._lock:
            self._is_abandoned = True
            while not self._outcomes.empty():
                if (answer := self._outcomes.get().answer) is not None:
                    answer.close()


def _may_hedge(request: httpx.Request) -> bool:
    """Return whether an answer should come soon, and the request may be sent twice."""
    return _may_repeat(request) and "Prefer" not in request.headers


def _may_repeat(request: httpx.Request) -> bool:
    return request.method in _SAFE_METHODS or "Idempotency-Key" in request.headers


def _readdress(request: httpx.Request, url: httpx.URL) -> httpx.Request:
    """Return the same request for another machine."""
    target = request.url.copy_with(scheme=url.scheme, host=url.host, port=url.port)
    headers = request.headers.copy()
    headers["Host"] = target.netloc.decode("ascii")
    return httpx.Request(
        request.method,
        target,
        headers=headers,
        stream=request.stream,
        extensions=request.extensions,
    )


class ApiRefused(RuntimeError):
    """Signal that Vigie answered with a problem document."""

    def __init__(self, status: int, problem: dict[str, Any], remedy: str = "") -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status, self.problem, self.remedy = status, problem, remedy


class VigieUnreachable(RuntimeError):
    """Signal that nothing answers at the address, or something other than Vigie."""


def find_token(settings: Settings) -> str | None:
    """Return the token of the environment, else that of the data directory."""
    if settings.token:
        return settings.token
    path = settings.data.secrets / "admin.token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def describe_token(settings: Settings) -> str:
    """Describe the token that commands send, for the message after its refusal."""
    path = settings.data.secrets / "admin.token"
    if settings.token:
        return "refused: the token of VIGIE_TOKEN"
    if find_token(settings):
        return f"refused: the token in {path}"
    return (
        f"no token: set VIGIE_TOKEN, or run this command with the VIGIE_DATA_DIR and as the user of "
        f"Vigie ({path} cannot be read)"
    )


class ApiClient:
    """Session with one Vigie.

    Its creation raises VigieUnreachable; its calls raise that and ApiRefused.
    """

    def __init__(self, settings: Settings, timeout_s: float = TIMEOUT_S) -> None:
        token = find_token(settings)
        if token and not (token.isascii() and token.isprintable()):
            raise VigieUnreachable(
                "the token (VIGIE_TOKEN, or secrets/admin.token) contains characters that no token has"
            )
        headers = {"Accept-Language": "fr"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        self._token = describe_token(settings)
        urls = settings.urls
        options: dict[str, Any] = {"timeout": timeout_s}
        try:
            if len(urls) > 1:
                connect_s = min(timeout_s, CONNECT_TIMEOUT_S)
                options["timeout"] = httpx.Timeout(timeout_s, connect=connect_s)
                options["transport"] = FallbackTransport(urls)
            self._http = httpx.Client(base_url=urls[0], headers=headers, trust_env=False, **options)
        except httpx.InvalidURL as exc:
            raise VigieUnreachable(
                f"VIGIE_URL={settings.url} is not a valid address: {exc}"
            ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request and return (status, JSON body).

        `body`: bytes are sent unchanged, anything else as JSON.
        """
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        encoded_headers = {name: _encode_header(value) for name, value in (headers or {}).items()}
        answer = self._answer(method, path, headers=encoded_headers, **content)
        return answer.status_code, self._document(answer)

    def read(self, path: str) -> httpx.Response:
        """Fetch a resource that is not JSON, with its headers."""
        return self._answer("GET", path)

    def save(self, path: str, file: Path) -> int:
        """Download a resource to a file and return its size.

        Only its owner can read the file. It appears once it is complete. Raises OSError, too.
        """
        try:
            with open_atomic_file(file, 0o600) as target, self._http.stream("GET", path) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise self._no_answer(answer)
                for block in answer.iter_bytes():
                    target.write(block)
        except httpx.RequestError as exc:
            raise VigieUnreachable(
                f"the answer of {self._http.base_url} is incomplete: {exc}"
            ) from exc
        return file.stat().st_size

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            with show_progress("Vigie n’a pas encore répondu …"):
                answer = self._http.request(method, path, **request)
        except (httpx.RequestError, httpx.InvalidURL) as exc:
            raise VigieUnreachable(describe_no_answer(str(self._http.base_url), exc)) from exc
        if answer.is_success:
            return answer
        raise self._no_answer(answer)

    def _no_answer(self, answer: httpx.Response) -> VigieUnreachable | ApiRefused:
        """Build the exception for an unsuccessful response."""
        if answer.status_code < 400:
            return self._stranger(answer)
        content = _parse_content(answer)
        return ApiRefused(
            answer.status_code,
            content if isinstance(content, dict) else {"title": str(content)[:200]},
            self._token if answer.status_code == HTTPStatus.UNAUTHORIZED else "",
        )

    def _document(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the JSON object of a successful response; empty for 204.

        Raises Away for anything else: Vigie answers with objects only.
        """
        if answer.status_code == 204:
            return {}
        content = _parse_content(answer)
        if not isinstance(content, dict) or not answer.headers.get("content-type", "").startswith(
            ("application/json", "application/problem+json")
        ):
            raise self._stranger(answer)
        return content

    def _stranger(self, answer: httpx.Response) -> VigieUnreachable:
        kind = answer.headers.get("content-type", "no content")
        return VigieUnreachable(
            f"the server at {self._http.base_url} is not Vigie (HTTP {answer.status_code}, {kind}): see VIGIE_URL"
        )

    def get(self, path: str) -> Any:
        """Fetch a JSON resource."""
        return self.call("GET", path)[1]

    def post(self, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        """Post JSON and return (status, JSON); `key` is its Idempotency-Key."""
        return self.call("POST", path, body, {"Idempotency-Key": key} if key else None)

    def wait_for_decision(self, pending: Mapping[str, Any], wait_s: int) -> Any:
        """Wait up to `wait_s` for the result of a pending decision."""
        path = f"/api/v1/commands/{pending['command_id']}?{urlencode({'realm': pending['realm']})}"
        return self.call("GET", path, headers={"Prefer": f"wait={wait_s}"})[1]

    def send(self, path: str, content: bytes, media_type: str) -> Any:
        """Post content that is not JSON, and return the JSON response."""
        return self._document(
            self._answer("POST", path, content=content, headers={"Content-Type": media_type})
        )


def _encode_header(value: str) -> bytes:
    """Encode a header value; an idempotency key may hold any character."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _parse_content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {"title": answer.text[:200]}


def describe_no_answer(url: str, exc: Exception) -> str:
    """Describe a request without a response, with advice if nothing listens there."""
    act = (
        "; start `vigie up`, or set another address (VIGIE_URL)"
        if isinstance(exc, httpx.ConnectError)
        else ""
    )
    return f"no answer from {url}: {exc or type(exc).__name__}{act}"


def print_error(exc: Exception | str) -> typer.Exit:
    """Print an error and its faulty fields, and return the exit to raise (1: refused or failed).

    Fields that the sentence already names are left out.
    """
    sentence = exc if isinstance(exc, str) else error_text(exc)
    typer.secho(strip_controls(sentence), err=True, fg="red")
    if isinstance(exc, ApiRefused):
        errors = exc.problem.get("errors")
        for error in (e for e in errors if isinstance(e, dict)) if isinstance(errors, list) else ():
            detail = str(error.get("detail", ""))
            if detail.casefold() not in sentence.casefold():
                typer.secho(strip_controls(f"  {error.get('field', '')}: {detail}"), err=True)
        if exc.remedy:
            typer.secho(f"  {exc.remedy}", err=True)
    return typer.Exit(1)


def error_text(exc: Exception) -> str:
    """Return the text of an error, with the next step if it has one.

    For a file or folder, it is the name and the reason.
    """
    if isinstance(exc, OSError) and exc.filename is not None and exc.strerror:
        return f"{exc.filename}: {exc.strerror}"
    if isinstance(exc, UnicodeDecodeError):
        return "ce fichier n’est pas en UTF-8 : enregistrez-le en « CSV UTF-8 »"
    if type(exc).__name__ == "KafkaConnectionError":
        return BROKER_AWAY.format(broker=Settings().kafka)
    return str(exc) or type(exc).__name__


def ask_to_go_on(question: str, without_asking: str) -> None:
    """Ask a question, and end the command unless the answer is yes.

    Without anybody to answer, as in a script, the option `without_asking` is named, and the command
    ends with 1. Raises typer.Abort and typer.Exit.
    """
    try:
        is_yes = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)
        raise print_error(f"nobody to ask: nothing was done. {without_asking}") from None
    if not is_yes:
        raise typer.Abort


def require_broker(settings: Settings) -> Settings:
    """Return the settings of a command that reads or writes topics.

    Raises typer.Exit, after printing the reason, if they name no broker.
    """
    if not settings.kafka:
        raise print_error(describe_no_broker(settings))
    return settings


def describe_no_broker(settings: Settings) -> str:
    """Say that no broker is known: most often the data directory, or the user, is another one."""
    if unreadable := describe_unreadable(settings.data):
        return unreadable
    return (
        f"no broker: Vigie does not run on {settings.data_dir}; start `vigie up`, "
        "set VIGIE_DATA_DIR to its directory, or VIGIE_KAFKA"
    )


def describe_unreadable(data: DataDir) -> str | None:
    """Say that this user cannot see whether Vigie runs; None if it can. Raises PermissionError."""
    if data.run.is_dir() and not os.access(data.run, os.X_OK):
        return f"{data.run} cannot be read: run this command as the user that runs Vigie"
    return None


@contextmanager
def open_api(settings: Settings | None = None, timeout_s: float = TIMEOUT_S) -> Iterator[ApiClient]:
    """Yield a client; if a call or a file fails, print the reason and exit.

    Raises typer.Exit.
    """
    try:
        with ApiClient(settings or Settings(), timeout_s) as client:
            yield client
    except BrokenPipeError:  # The reader of the output has enough, as `head` has
        raise
    except (VigieUnreachable, ApiRefused, OSError) as exc:
        raise print_error(exc) from exc


def call_api(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Any:
    """Call the running system once and return its response.

    Raises typer.Exit, after printing the reason.
    """
    with open_api() as client:
        return client.call(method, path, body, headers)[1]
