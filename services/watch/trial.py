"""Run a connector over saved bodies, without network and without a broker.

A saved body stands for what the feed says for a while: it is read twice, a minute apart, as the
rules that ask for two fetches need it. A body before the last is read at its own edition time;
one without a time when `expected.json` beside it says, else a day before the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from services.watch.connector import Connector, FeedBody, FetchVerdict, Memory, Post, Reading
from services.watch.engine import read_bodies
from services.watch.transport import judge_status
from services.watch.watched import WatchedTerritory

ENVELOPE_PREFIX: Final = "http-"
BEHIND: Final = timedelta(seconds=60)
SECOND_LOOK: Final = timedelta(seconds=61)
WITHOUT_CLOCK: Final = timedelta(days=1)
"""Distance of bodies that have no time of their own."""


@dataclass(slots=True)
class TrialResult:
    """FetchVerdict and posts of the last body."""

    verdict: FetchVerdict
    posts: list[Post] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict.value,
            "posts": [{"idempotency_key": p.key, "body": p.body} for p in self.posts],
        }


def try_feed(
    connector: Connector,
    file: Path,
    after: Sequence[Path],
    at: datetime,
    territory: WatchedTerritory,
) -> TrialResult:
    """Read the bodies `after`, then `file` at a time.

    Raises OSError for a missing file, ValueError for an envelope that is none.
    """
    memory: Memory = {}
    for n, path in enumerate(after):
        status, bodies = _load(connector, path)
        if status is not FetchVerdict.OK:
            continue
        own = connector.read_time(bodies)
        fetched_at = read_fetch_times(path.parent).get(path.name)
        time = own + BEHIND if own else fetched_at or at - WITHOUT_CLOCK * (len(after) - n)
        memory = _look_twice(connector, bodies, memory, min(time, at), territory).memory
    status, bodies = _load(connector, file)
    if status is not FetchVerdict.OK:
        return TrialResult(status)
    reading = _look_twice(connector, bodies, memory, at, territory)
    return TrialResult(reading.verdict, reading.posts, reading.faults)


def read_fetch_times(folder: Path) -> dict[str, datetime]:
    """Return when each body was fetched, as `expected.json` of its folder says.

    Empty without such a file, or if it has another form.
    """
    try:
        rows = orjson.loads((folder / "expected.json").read_bytes())
        return {r["file"]: datetime.fromisoformat(r["fetched_at"]).astimezone(UTC) for r in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _look_twice(
    connector: Connector,
    bodies: dict[str, FeedBody],
    memory: Memory,
    at: datetime,
    territory: WatchedTerritory,
) -> Reading:
    """Read bodies, and again a minute later; return the first verdict and all posts."""
    first = read_bodies(connector, bodies, memory, at, territory, {})
    if first.verdict in (FetchVerdict.STALE, FetchVerdict.REFUSED):
        return first
    second_reading = read_bodies(connector, bodies, first.memory, at + SECOND_LOOK, territory, {})
    if second_reading.verdict is FetchVerdict.STALE:
        return first
    posts = [*first.posts, *second_reading.posts]
    verdict = (
        FetchVerdict.OK if posts and first.verdict is FetchVerdict.UNCHANGED else first.verdict
    )
    return Reading(second_reading.memory, verdict, posts, faults=first.faults)


def _load(connector: Connector, file: Path) -> tuple[FetchVerdict, dict[str, FeedBody]]:
    """Return the saved bodies of one file: a raw body, or an envelope with status and headers."""
    content = file.read_bytes()
    headers: dict[str, str] = {}
    if file.name.startswith(ENVELOPE_PREFIX) and file.suffix == ".json":
        status, headers, content = _open_envelope(file.name, content)
        answer = judge_status(status, headers, content)
        if answer.verdict is not FetchVerdict.OK:
            return answer.verdict, {}
    if len(content) > connector.spec.max_bytes:
        return FetchVerdict.REFUSED, {}
    main = FeedBody(connector.name_body(content), content, headers)
    bodies = {main.name: main}
    for name, path in connector.find_companions(file).items():
        bodies[name] = FeedBody(name, path.read_bytes())
    return FetchVerdict.OK, bodies


def _open_envelope(name: str, content: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a saved answer. Raises ValueError."""
    try:
        envelope = orjson.loads(content)
        status, headers = int(envelope["status"]), envelope.get("headers") or {}
        text_headers = {str(key): str(value) for key, value in headers.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        expected = "{status, headers, body}"
        raise ValueError(f"{name}: an envelope {expected} is expected") from error
    body = envelope.get("body") or ""
    return status, text_headers, body.encode() if isinstance(body, str) else orjson.dumps(body)
