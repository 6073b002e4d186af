"""Serve saved bodies of feeds on loopback, for tests and demonstrations.

The bodies of a feed follow each other as in a story. Their times are moved to now, so that a feed
that was saved last winter is fresh.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from services.watch.connector import Connector, FeedBody
from services.watch.parsing import PARIS
from services.watch.registry import list_connectors
from services.watch.trial import ENVELOPE_PREFIX

STORY: Final = ("normal", "warning", "end")
STEP: Final = timedelta(minutes=3)
"""Time for which each body of the story is served."""
_ISO: Final = re.compile(
    rb"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:\d{2})"
)
_LOCAL: Final = re.compile(rb"(?<![0-9])\d{8}T\d{6}(?![0-9])")


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One saved body, and the time at which it was fresh."""

    bodies: Mapping[str, FeedBody]
    made: datetime | None


class SampleStory:
    """The bodies of one feed, in their order."""

    def __init__(self, connector: Connector, folder: Path) -> None:
        self._steps = [
            step
            for name in STORY
            for path in sorted(folder.glob(f"{name}.*"))
            if (step := _load_step(connector, path)) is not None
        ]

    def find_body(self, request: str, begun: datetime, now: datetime) -> bytes | None:
        """Return the body of a request at a time, moved to now; None if it has none."""
        if not self._steps:
            return None
        step = self._steps[int((now - begun) / STEP) % len(self._steps)]
        names = (request, next(iter(step.bodies), ""))
        body = next((step.bodies[name] for name in names if name in step.bodies), None)
        if body is None or (request not in step.bodies and request.startswith("item:")):
            return None
        if step.made is None:
            return body.content
        count = int((now - begun) / STEP)
        fresh = begun + STEP * count - timedelta(minutes=1)
        return move_times(body.content, fresh - step.made)


def _load_step(connector: Connector, path: Path) -> StoryStep | None:
    if path.name.startswith(ENVELOPE_PREFIX):
        return None
    content = path.read_bytes()
    main = FeedBody(connector.name_body(content), content)
    bodies = {main.name: main}
    made = connector.read_time(bodies)
    for name, file in connector.find_companions(path).items():
        bodies[name] = FeedBody(name, file.read_bytes())
    return StoryStep(bodies, made)


def move_times(content: bytes, by: timedelta) -> bytes:
    """Move every time in a body that has an offset, and IDFM's Paris times."""

    def move_iso(match: re.Match[bytes]) -> bytes:
        text = match.group().decode()
        time = datetime.fromisoformat(text) + by
        moved = time.isoformat(timespec="seconds")
        return moved.replace("+00:00", "Z" if text.endswith("Z") else "+00:00").encode()

    def move_local(match: re.Match[bytes]) -> bytes:
        local = datetime.strptime(match.group().decode(), "%Y%m%dT%H%M%S")  # noqa: DTZ007
        moved = (local.replace(tzinfo=PARIS).astimezone(UTC) + by).astimezone(PARIS)
        return moved.strftime("%Y%m%dT%H%M%S").encode()

    return _LOCAL.sub(move_local, _ISO.sub(move_iso, content))


def create_sample_app(
    folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> web.Application:
    """Create the server of `folder`, one folder per feed: `GET /<feed>/<request>`."""
    stories = {
        c.spec.name: SampleStory(c, folder / c.spec.name)
        for c in list_connectors()
        if (folder / c.spec.name).is_dir()
    }
    begun = clock()

    async def answer(request: web.Request) -> web.Response:
        story = stories.get(request.match_info["feed"])
        body = story and story.find_body(request.match_info["request"], begun, clock())
        if body is None:
            return web.Response(status=404, body=orjson.dumps({"message": "no sample"}))
        return web.Response(body=body, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/{feed}/{request}", answer)
    return app


def list_sampled_feeds(folder: Path) -> Sequence[str]:
    """Return the feeds that a folder has samples of."""
    return [c.spec.name for c in list_connectors() if (folder / c.spec.name).is_dir()]
