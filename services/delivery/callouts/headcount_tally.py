"""Tally headcounts: single answers stay encrypted in `texts`, and only counts leave this module.

The keys of the answers are destroyed after 30 days. Rules D37, D58.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import structlog

from schemas.base import DAY_MS
from schemas.callouts import HeadcountAnswer, HeadcountTallied, headcount_text_id
from schemas.reports import Measure, ReportReceived
from schemas.topics import input_topic
from schemas.words import EventType
from services.delivery.sender.attempt_view import AttemptView, OpenHeadcount
from services.delivery.sender.periodic import run_periodically
from services.delivery.sender.sender import SOURCE
from services.runtime.kafka.clients import RecordProducer
from services.runtime.secrets.vault import VaultDirectory, VaultTexts

log = structlog.get_logger(__name__)

COUNT_INTERVAL_S: Final = 5.0
"""Seconds between counts: each covers several answers, so that no count reveals one person."""
ANSWERS_KEPT_MS: Final = 30 * DAY_MS


@dataclass
class _PublishedCounts:
    """Last published counts of a headcount; with several sites also their people and counts."""

    quiet: bool
    """True if it was over when this process began, so its counts are already published."""
    counts: Counter[str] | None = None
    """Newest counts; nothing is published yet without them."""
    sites: dict[str, str] = field(default_factory=dict)
    people_by_site: dict[str, int] = field(default_factory=dict)


class HeadcountTally:
    """Tally of running headcounts by site; destroys the answers of old ones."""

    def __init__(
        self,
        outbox: AttemptView,
        answers: VaultTexts,
        places: VaultDirectory,
        producer: RecordProducer,
        *,
        wall_clock: Callable[[], float] = time.time,
        every_s: float = COUNT_INTERVAL_S,
    ) -> None:
        self._outbox = outbox
        self._answers = answers
        self._places = places
        self._producer = producer
        self._wall_clock = wall_clock
        self._every_s = every_s
        self._told: dict[str, _PublishedCounts] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        await run_periodically("teller", self.tell, self._every_s)

    async def tell(self) -> None:
        """Tally once. Raise BrokerAway; the next round sends the counts."""
        now = round(self._wall_clock() * 1000)
        for id, headcount in list(self._outbox.headcounts.items()):
            if headcount.started_at is None:
                continue
            if now - headcount.started_at > ANSWERS_KEPT_MS:
                await self._destroy(id, headcount)
            else:
                await self._count(id, headcount, now)

    async def _count(self, id: str, headcount: OpenHeadcount, now: int) -> None:
        """Publish new counts; the first one says that the count has begun, before any answer."""
        answers = self._answers.get_many([headcount_text_id(n) for n in headcount.notifications])
        counts = Counter(str(item.fields["headcount"]) for item in answers.values())
        published_counts = self._told.setdefault(id, _PublishedCounts(quiet=headcount.over))
        if counts == published_counts.counts or (headcount.over and not counts):
            return
        if counts:
            tally = HeadcountTallied(
                callout=id, **{answer.value: counts[answer.value] for answer in HeadcountAnswer}
            )
            await self._producer.send(
                input_topic("delivery"),
                headcount.realm,
                tally,
                id=f"tally-{uuid4()}",
                source=SOURCE,
            )
        if len(headcount.sites) == 1:
            site = headcount.sites[0]
            if not self._is_counted_anew(headcount, site):
                await self._report(
                    f"{id}-found", headcount, site, counts.total(), len(headcount.persons), now
                )
        else:
            persons = {
                person
                for n, person in headcount.notifications.items()
                if headcount_text_id(n) in answers
            }
            await self._report_each(
                id, headcount, published_counts, persons & headcount.persons, now
            )
        published_counts.counts = counts

    async def _report_each(
        self,
        id: str,
        headcount: OpenHeadcount,
        published_counts: _PublishedCounts,
        persons: set[str],
        now: int,
    ) -> None:
        """Report each site with a new count; the first time also those where nobody is found."""
        await self._place(headcount, published_counts.sites)
        expected_counts, there = (
            Counter(published_counts.sites.values()),
            Counter(published_counts.sites[person] for person in persons),
        )
        for site in headcount.sites:
            if expected_counts[site] and published_counts.people_by_site.get(site) != there[site]:
                if not published_counts.quiet and not self._is_counted_anew(headcount, site):
                    await self._report(
                        f"{id}-{site}-found",
                        headcount,
                        site,
                        there[site],
                        expected_counts[site],
                        now,
                    )
                published_counts.people_by_site[site] = there[site]
        published_counts.quiet = False

    def _is_counted_anew(self, headcount: OpenHeadcount, site: str) -> bool:
        """Return whether a later headcount counts the site.

        A late answer to the earlier one says nothing about the people that are missed now.
        """
        started_at = headcount.started_at or 0
        return any(
            other.realm == headcount.realm
            and site in other.sites
            and (other.started_at or 0) > started_at
            for other in self._outbox.headcounts.values()
        )

    async def _place(self, headcount: OpenHeadcount, sites: dict[str, str]) -> None:
        """Find the site of each person.

        A person without one of these sites counts for the first, so that the count leaves nobody
        out.
        """
        people = self._places.of(headcount.realm)
        for person in sorted(headcount.persons - set(sites)):
            contact = await people.get(person)
            site = contact.site if contact is not None else None
            sites[person] = (
                site if site is not None and site in headcount.sites else headcount.sites[0]
            )

    async def _report(
        self,
        name: str,
        headcount: OpenHeadcount,
        site: str,
        count: int,
        expected_count: int,
        now: int,
    ) -> None:
        """Send the count as a report, for the metric of the headcount and the site's incident.

        The same count has the same id, so a repeat has no effect.
        """
        report = ReportReceived(
            report_id=f"{name}-{count}",
            source="recensement",
            site_id=site,
            type=EventType.HEADCOUNT,
            severity=1,
            occurred_at=now,
            measure=Measure(
                name="headcount_found",
                value=count,
                value_of=expected_count,
                unit="personnes",
                scope="site",
            ),
        )
        await self._producer.send(
            input_topic("alerts"), headcount.realm, report, id=report.report_id, source=SOURCE
        )

    async def _destroy(self, id: str, headcount: OpenHeadcount) -> None:
        answers = self._answers.get_many([headcount_text_id(n) for n in headcount.notifications])
        for text_id in answers:
            await self._answers.erase(text_id)
        self._outbox.forget_headcount(id)
        self._told.pop(id, None)
        log.info("headcount.answers_destroyed", callout=id, count=len(answers))
