"""Saved bodies of feeds: run a connector over them, or serve them on loopback.

A saved body stands for what the feed says for a while: it is read twice, a minute apart, as the
rules that ask for two fetches need it. A body before the last is read at its own edition time;
one without a time when `expected.json` beside it says, else a day before the next.

The bodies of a feed follow each other as in a story. Their times are moved to now, so that a feed
that was saved last winter is fresh: instants by the same duration, days and Paris midnights by
whole days.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web

from services.watch.connector import (
    FeedBody,
    FeedConnector,
    FetchVerdict,
    Memory,
    Post,
    Reading,
    list_connectors,
)
from services.watch.engine import read_bodies
from services.watch.parsing import PARIS
from services.watch.transport import judge_status
from services.watch.watched import WatchedTerritory

ENVELOPE_PREFIX: Final = "http-"
BEHIND: Final = timedelta(seconds=60)
SECOND_LOOK: Final = timedelta(seconds=61)
WITHOUT_CLOCK: Final = timedelta(days=1)
"""Distance of bodies that have no time of their own."""
STORY: Final = ("normal", "warning", "end")
"""Names of the bodies, in their order, unless the folder has a `story.json`."""
FIRST_STEP: Final = timedelta(minutes=3)
STEP: Final = timedelta(minutes=20)
"""Time for which each later body of the story is served."""
_ISO: Final = re.compile(
    rb"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})"
)
_LOCAL: Final = re.compile(rb"(?<![0-9])\d{8}T\d{6}(?![0-9])")
_BULLETIN: Final = re.compile(rb"(?<![0-9])\d{8}_\d{2}(?![0-9])")
"""Day and hour of a bulletin of Vigicrues, `25012027_10`."""
_DAY: Final = re.compile(rb"(?<![0-9T-])\d{4}-\d{2}-\d{2}(?=\"|T00:00:00(?:\.0{1,6})?\")")
"""A day without an offset, alone or with a midnight."""


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
    connector: FeedConnector,
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
    connector: FeedConnector,
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


def _load(connector: FeedConnector, file: Path) -> tuple[FetchVerdict, dict[str, FeedBody]]:
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


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One saved body, and the time when it was fetched."""

    bodies: Mapping[str, FeedBody]
    fetched_at: datetime


class SampleStory:
    """The bodies of one feed, in their order."""

    def __init__(self, connector: FeedConnector, folder: Path) -> None:
        times = read_fetch_times(folder)
        names, self._plans = _read_story(folder)
        self._steps = [
            step
            for name in names
            for path in sorted(folder.glob(f"{name}.*"))
            if (step := _load_step(connector, path, times)) is not None
        ]

    def find_body(self, request: str, started_at: datetime, now: datetime) -> bytes | None:
        """Return the body of a request at a time, moved to now; None if it has none."""
        if not self._steps:
            return None
        count, since = _find_step(started_at, now, len(self._steps))
        step = self._steps[count % len(self._steps)]
        body = step.bodies.get(request)
        if body is None:
            return None
        return move_times(body.content, step.fetched_at, since, plans=self._plans)


def _find_step(started_at: datetime, now: datetime, steps: int) -> tuple[int, datetime]:
    """Return the number of the step that is served at a time, and its begin."""
    whole = FIRST_STEP + STEP * (steps - 1)
    rounds = (now - started_at) // whole
    start = started_at + whole * rounds
    later = (now - start - FIRST_STEP) // STEP + 1 if now - start >= FIRST_STEP else 0
    since = start if later == 0 else start + FIRST_STEP + STEP * (later - 1)
    return rounds * steps + later, since


def _read_story(folder: Path) -> tuple[Sequence[str], bool]:
    """Return the names of the bodies, and whether their forecasts keep their hour of the day."""
    file = folder / "story.json"
    story = orjson.loads(file.read_bytes()) if file.exists() else {}
    return story.get("names", STORY), story.get("forecasts_keep_their_hour", False)


def _load_step(
    connector: FeedConnector, path: Path, times: Mapping[str, datetime]
) -> StoryStep | None:
    if path.name.startswith(ENVELOPE_PREFIX):
        return None
    content = path.read_bytes()
    main = FeedBody(connector.name_body(content), content)
    bodies = {main.name: main}
    for name, file in connector.find_companions(path).items():
        bodies[name] = FeedBody(name, file.read_bytes())
    fetched_at = times.get(path.name)
    if fetched_at is None:
        made_at = connector.read_time(bodies)
        fetched_at = made_at + timedelta(minutes=1) if made_at else None
    return None if fetched_at is None else StoryStep(bodies, fetched_at)


def move_times(
    content: bytes, fetched_at: datetime, now: datetime, *, plans: bool = False
) -> bytes:
    """Move every time in a body that was fetched at one time to another.

    A midnight in Paris stays one, and a day stays a day: both move by whole days. With `plans`
    every whole hour does so, too: forecasts speak of whole hours of a day.
    """
    by = now - fetched_at
    days = now.astimezone(PARIS).date() - fetched_at.astimezone(PARIS).date()

    def move_iso(match: re.Match[bytes]) -> bytes:
        text = match.group().decode()
        moment = datetime.fromisoformat(text)
        local = moment.astimezone(PARIS)
        moved_time = moment + by
        if local.time() == time() or (plans and local.minute == local.second == 0):
            day = datetime.combine(local.date() + days, local.time(), PARIS)
            moved_time = day if moment.utcoffset() else day.astimezone(UTC)
        iso_text = moved_time.isoformat(timespec="seconds")
        return iso_text.replace("+00:00", "Z" if text.endswith("Z") else "+00:00").encode()

    def move_local(match: re.Match[bytes]) -> bytes:
        local = datetime.strptime(match.group().decode(), "%Y%m%dT%H%M%S")  # noqa: DTZ007
        moved_time = (local.replace(tzinfo=PARIS).astimezone(UTC) + by).astimezone(PARIS)
        return moved_time.strftime("%Y%m%dT%H%M%S").encode()

    def move_bulletin(match: re.Match[bytes]) -> bytes:
        local = datetime.strptime(match.group().decode(), "%d%m%Y_%H")  # noqa: DTZ007
        moved_time = (local.replace(tzinfo=PARIS).astimezone(UTC) + by).astimezone(PARIS)
        return moved_time.strftime("%d%m%Y_%H").encode()

    def move_day(match: re.Match[bytes]) -> bytes:
        return (date.fromisoformat(match.group().decode()) + days).isoformat().encode()

    instants = _LOCAL.sub(move_local, _ISO.sub(move_iso, content))
    return _DAY.sub(move_day, _BULLETIN.sub(move_bulletin, instants))


def create_sample_app(
    folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> web.Application:
    """Create the server of `folder`, one folder per feed: `GET /<feed>/<request>`."""
    stories = {
        c.spec.name: SampleStory(c, folder / c.spec.name)
        for c in list_connectors()
        if (folder / c.spec.name).is_dir()
    }
    started_at = clock()

    async def answer(request: web.Request) -> web.Response:
        story = stories.get(request.match_info["feed"])
        body = story and story.find_body(request.match_info["request"], started_at, clock())
        if body is None:
            return web.Response(status=404, body=orjson.dumps({"message": "no sample"}))
        return web.Response(body=body, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/{feed}/{request}", answer)
    return app


def list_sampled_feeds(folder: Path) -> Sequence[str]:
    """Return the feeds that a folder has samples of."""
    return [c.spec.name for c in list_connectors() if (folder / c.spec.name).is_dir()]
