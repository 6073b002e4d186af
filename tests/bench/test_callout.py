"""A call-out of 5300 through the real delivery process: planned, handed over at the declared pace, danger in the middle of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from schemas.callouts import CHUNK, Called, DraftCallOut, StartCallOut
from schemas.reference import ChannelRule, ChannelRules, ChannelsSection, ReferencePublished
from schemas.words import Channel
from services.runtime.vault import TextItem, Vault
from tests.integration.delivery.test_process import World, own_settings, world  # noqa: F401  fixtures
from tests.waiting import eventually

PEOPLE = 5300
PER_MINUTE = 6000


@pytest.mark.bench
async def test_five_thousand_three_hundred(world: World) -> None:  # noqa: F811
    taken: list[tuple[float, str]] = []
    one = world.handle_hook

    async def noted(request: Any) -> Any:
        answer = await one(request)
        taken.append((time.monotonic(), world.hooks[-1]["template"]))
        return answer

    world.handle_hook = noted  # type: ignore[method-assign]
    rule = ChannelRule(channel=Channel.WEBHOOK, per_minute=PER_MINUTE, burst=50, doubt="at_least_once", limit_s=15, grace_s=10, tries=1)
    await world.put(ReferencePublished(reference="r2", data=ChannelsSection(rules=ChannelRules(channels=(rule,))), last=True))
    async with Vault.open(world.settings) as vault:
        await vault.texts.put("t1", TextItem({"text": "Restez chez vous."}))
    people = [Called(person="dgs", channels=(Channel.WEBHOOK,)) for _ in range(PEOPLE)]
    async with world.delivery():
        for n, at in enumerate(range(0, PEOPLE, CHUNK)):
            chunk = tuple(c.model_copy(update={"person": f"dgs-{at + k}"}) for k, c in enumerate(people[at : at + CHUNK]))
            draft = DraftCallOut(
                author="coord-pca", role="coordinator", callout="c1", text_id="t1", channels=(Channel.WEBHOOK,), people=chunk,
                last=at + CHUNK >= PEOPLE,
            )  # fmt: skip
            await world.put(draft, id=f"draft-{n}")
        began = time.monotonic()
        await world.put(StartCallOut(author="coord-pca", role="coordinator", callout="c1"))
        await eventually(lambda: sum(r.campaign == "c1" for r in world.rows.values()) == PEOPLE, 120)
        planned_s = time.monotonic() - began
        await asyncio.sleep(5)
        asked = time.monotonic()
        await world.plan(channels=(Channel.WEBHOOK,), danger=True)
        await eventually(lambda: any(t == "incident_wave" for _, t in taken), 60)
        danger_s = next(at for at, t in taken if t == "incident_wave") - asked
        await eventually(lambda: sum(bool(r.attempts) for r in world.rows.values() if r.campaign) == PEOPLE, 300)
        planned = sorted(r.attempts[0].planned_at for r in world.rows.values() if r.campaign)
    pace = (PEOPLE - 50) / ((planned[-1] - planned[0]) / 1000)
    print(
        f"\ncall-out of {PEOPLE}: planned in {planned_s:.2f} s, handed over at {pace:.1f}/s (declared {PER_MINUTE / 60:g}/s), danger in {danger_s:.2f} s"
    )
