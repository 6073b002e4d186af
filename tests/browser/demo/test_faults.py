"""Screens under SIGKILL show that they are frozen, and recover without a reload or a gap."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2 as httpx
import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Visitor, log_in, report, running_exercise
from tests.faults.matrix import proves
from tests.system import RunningVigie
from tests.waiting import until

SITES = ("cul-04", "sst-06", "pmi-04", "gym-07", "cen-1", "cen-2", "sst-05")
"""Sites that report, one after the other."""
BACK_S = 60.0
"""Patience; 5 s is the promise on a machine that does nothing else (docs/reference/benchmarks.md)."""
NO_WORKER = "delete window.SharedWorker;"
SPY = """
const plain = window.fetch;
window.heard = [];
window.fetch = async (input, init) => {
  const answer = await plain(input, init);
  if (!String(input).includes("/api/v1/stream") || !answer.ok) return answer;
  const decoder = new TextDecoder();
  let rest = "";
  const noting = new TransformStream({
    transform(piece, onward) {
      const frames = (rest + decoder.decode(piece, { stream: true })).split("\\n\\n");
      rest = frames.pop();
      for (const frame of frames) {
        const id = /^id: (.*)$/m.exec(frame)?.[1];
        if (id) window.heard.push([/^event: (.*)$/m.exec(frame)?.[1] ?? "", id]);
      }
      onward.enqueue(piece);
    },
  });
  return new Response(answer.body.pipeThrough(noting), answer);
};
"""


@pytest.fixture
def realm(demo: RunningVigie) -> Iterator[str]:
    with running_exercise(demo, "pannes") as name:
        yield name


@proves("console", "kill")
@pytest.mark.timeout(400)
def test_every_page_is_right_again_by_itself_after_a_kill(
    demo: RunningVigie, browser: Browser, realm: str
) -> None:
    sites = iter(SITES)

    def tell() -> float:
        return _tell(demo, realm, next(sites), pages)

    who = Visitor(browser, demo.url, log_in(demo, browser, "coordinator", "coordinateur_pca"))
    cell = who.page(f"/?realm={realm}", context=_with(who, NO_WORKER + SPY))
    wall = who.page(f"/mur?realm={realm}", width=1920, height=1080)
    watched = who.page(context=_with(who, NO_WORKER))
    watched.clock.install()
    watched.goto(f"/?realm={realm}")
    pages = (cell, wall, watched)
    for page in pages:
        page.evaluate("window.since = 'the beginning'")
    tell()

    print()
    for victim in ("console", "projector", "store"):
        frozen = demo.kill(victim, signal.SIGSTOP)
        _until_silent(demo, realm)
        watched.clock.fast_forward(16_000)
        expect(watched.locator("#frozen")).to_be_visible()
        expect(watched.locator("#frozen")).to_contain_text("Données figées depuis")
        assert demo.kill(victim) == frozen, "still the one that was frozen"
        print(f"{victim}: every page is right {tell():.1f} s after the kill")
        expect(watched.locator("#frozen")).to_be_hidden()
        if victim == "store":
            tell()  # the first report came before they read all again
        _no_gap(demo, realm, cell, resync=victim == "store")
    assert [page.evaluate("window.since") for page in pages] == ["the beginning"] * 3
    assert who.complaints == []
    for context in who.contexts:
        context.close()


def _with(who: Visitor, script: str) -> BrowserContext:
    context = who.context()
    context.add_init_script(script)
    return context


def _tell(vigie: RunningVigie, realm: str, site: str, pages: tuple[Page, ...]) -> float:
    """Report as a site; return the seconds until every page shows it."""
    began = time.monotonic()
    report(vigie, realm, site)
    for page in pages:
        expect(page.locator(f"use[data-site={site}]").first).to_be_attached(timeout=BACK_S * 1000)
    return time.monotonic() - began


def _until_silent(vigie: RunningVigie, realm: str) -> None:
    """Wait until no stream is open: no page receives anything any more."""

    def silent() -> bool:
        try:
            with vigie.http.stream("GET", f"/api/v1/stream?realm={realm}", timeout=2) as answer:
                return answer.status_code == 503
        except httpx.TimeoutException:
            return True

    until(silent)


def _no_gap(vigie: RunningVigie, realm: str, page: Page, *, resync: bool) -> None:
    """Check that the page received every kept entry, and reloaded only where it had to."""
    status = json.loads((vigie.folder / "data" / "run" / "status.json").read_text(encoding="utf-8"))
    store = redis.Redis.from_url(status["redis"])
    epoch = store.get("vigie:epoch").decode()

    def missing() -> list[str]:
        stream_events = [
            (event, id.removeprefix(f"{epoch}."))
            for event, id in page.evaluate("window.heard")
            if id.startswith(f"{epoch}.")
        ]
        begun = next(id for event, id in stream_events if event in ("hello", "resync"))
        stored_ids = [
            id.decode() for id, _ in store.xrange(f"vigie:{realm}:stream", min=f"({begun}")
        ]
        assert stored_ids
        return sorted(set(stored_ids) - {id for _, id in stream_events})

    with suppress(TimeoutError):
        until(lambda: not missing(), BACK_S)
    assert missing() == []
    store.close()
    assert any(event == "resync" for event, _ in page.evaluate("window.heard")) is resync
