"""Serve saved bodies of feeds on loopback, for tests and demonstrations.

The bodies of a feed follow each other as in a story. Their times are moved to now, so that a feed
that was saved last winter is fresh: instants by the same duration, days and Paris midnights by
whole days.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from services.watch.connector import Connector, FeedBody, list_connectors
from services.watch.parsing import PARIS
from services.watch.trial import ENVELOPE_PREFIX, read_fetch_times

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


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One saved body, and the time when it was fetched."""

    bodies: Mapping[str, FeedBody]
    fetched_at: datetime


class SampleStory:
    """The bodies of one feed, in their order."""

    def __init__(self, connector: Connector, folder: Path) -> None:
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


def _load_step(connector: Connector, path: Path, times: Mapping[str, datetime]) -> StoryStep | None:
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
