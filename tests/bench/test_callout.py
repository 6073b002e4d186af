"""A call-out of 5300 passes the real delivery process at its declared pace, behind danger."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from schemas.callouts import CHUNK_PEOPLE, Called, DraftCallOut, StartCallOut
from schemas.people.directory import Contact, ContactPoint
from schemas.reference import ChannelRule, ChannelRules, ChannelsSection, ReferencePublished
from schemas.words import Channel
from services.runtime.secrets.vault import TextItem, Vault
from tests.integration.delivery.test_process import World, own_settings, world  # noqa: F401  fixtures
from tests.waiting import eventually

PEOPLE = 5300
PER_MINUTE = 1200


@pytest.mark.bench
async def test_a_call_out_of_five_thousand_three_hundred_lets_danger_overtake(world: World) -> None:  # noqa: F811
    rule = ChannelRule(
        channel=Channel.WEBHOOK,
        per_minute=PER_MINUTE,
        burst=20,
        doubt="at_least_once",
        limit_s=15,
        grace_s=10,
        tries=1,
    )
    await world.put(
        ReferencePublished(
            reference="r2", data=ChannelsSection(rules=ChannelRules(channels=(rule,))), last=True
        )
    )
    people = [Called(person=f"agent-{n}", channels=(Channel.WEBHOOK,)) for n in range(PEOPLE)]
    points = (ContactPoint(channel=Channel.WEBHOOK, address=world.hook),)
    async with Vault.open(world.settings) as vault:
        await vault.texts.put("t1", TextItem({"text": "Restez chez vous."}))
        for at in range(0, PEOPLE, 100):
            await asyncio.gather(
                *(
                    vault.directory.of("92").put(Contact(person=p.person, points=points))
                    for p in people[at : at + 100]
                )
            )
    async with world.delivery() as process:
        worker = psutil.Process(process.pid)
        for n, at in enumerate(range(0, PEOPLE, CHUNK_PEOPLE)):
            chunk = tuple(people[at : at + CHUNK_PEOPLE])
            draft = DraftCallOut(
                author="coord-pca",
                role="coordinator",
                callout="c1",
                text_id="t1",
                channels=(Channel.WEBHOOK,),
                people=chunk,
                last=at + CHUNK_PEOPLE >= PEOPLE,
            )
            await world.put(draft, id=f"draft-{n}")
        began, cpu_s = time.monotonic(), sum(worker.cpu_times()[:2])
        await world.put(StartCallOut(author="coord-pca", role="coordinator", callout="c1"))
        await eventually(
            lambda: sum(r.campaign == "c1" for r in world.rows.values()) == PEOPLE,
            120,
            longest_s=0.0,
        )
        planned_s, cpu_s = time.monotonic() - began, sum(worker.cpu_times()[:2]) - cpu_s
        await eventually(lambda: len(world.hooks) > 500, 120)
        started_at = time.monotonic()
        await world.plan(channels=(Channel.WEBHOOK,), danger=True)
        await eventually(
            lambda: any(h["template"] == "incident_wave" for h in world.hooks), 60, longest_s=0.0
        )
        danger_s = time.monotonic() - started_at
        await eventually(lambda: len(world.hooks) == PEOPLE + 1, 900, longest_s=0.0)
        all_s = time.monotonic() - began
        planned = sorted(r.attempts[0].planned_at for r in world.rows.values() if r.campaign)
    pace = (PEOPLE - 20) / ((planned[-1] - planned[0]) / 1000)
    print(
        f"\ncall-out of {PEOPLE}: planned in {planned_s:.2f} s ({cpu_s:.2f} s of CPU), handed over at {pace:.1f}/s (declared {PER_MINUTE / 60:g}/s), "
        f"danger in {danger_s:.2f} s, all taken after {all_s:.1f} s"
    )
    assert abs(pace / (PER_MINUTE / 60) - 1) < 0.02, "handed over at the declared pace, ± 2 %"
    assert len({r.id for r in world.rows.values() if r.campaign == "c1"}) == PEOPLE
