"""Open a realm at a time for all queries, from Redis or from a fold of the logs."""

import copy
import sqlite3
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.alerts import SiteRow
from schemas.base import Instant
from schemas.callouts import headcount_text_id
from schemas.crisis.area_orders import AreaOrderRow, list_barred_sites
from schemas.topics import PARTITION_COUNT, is_live, log_topic, partition_of
from schemas.words import SiteStatus
from services.console import resources as r
from services.console.http.problems import NotFound, RealmUnknown, Rebuilding
from services.console.logbook.lines import LineRecord, build_key_after
from services.console.read_model import store
from services.console.read_model.reference_index import NO_REFERENCE, IndexedReference
from services.console.read_model.shapes import Shaper
from services.console.read_model.shapes import build_realm as realm_resource
from services.console.read_model.snapshot import (
    CurrentSnapshot,
    PastSnapshot,
    RealmSnapshot,
    RowCache,
    read_lines,
)
from services.console.read_model.store import Client, translate_store_errors
from services.console.read_model.time_travel import History
from services.console.resources import Page
from services.console.sites.geometry import Outlines
from services.runtime.http.pagination import paginate
from services.runtime.http.problems import ProblemError
from services.runtime.log.partition_reader import PartitionReader
from services.runtime.process.machine import now_ms
from services.runtime.process.tasks import run_in_thread
from services.runtime.secrets.vault import VaultTexts

UNLIMITED: Final = 1000
"""Items of a page that was requested without a limit."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenedRealm:
    """A snapshot of a realm and the shaper that turns its rows into resources."""

    picture: RealmSnapshot
    shape: Shaper


def get_snapshot_time(picture: RealmSnapshot) -> Instant:
    """Return the requested time of a snapshot, or else the time of its own clock."""
    if picture.at is not None:
        return picture.at
    realm = build_realm_now(picture)
    return r.to_instant(realm.shown_clock) if realm.simulated else now_ms()


async def find_barred_sites(picture: RealmSnapshot) -> frozenset[str]:
    """Return the sites that nobody is sent to: an order stands there, or for their area.

    Rules D78 and D102.
    """
    orders = await picture.rows(AreaOrderRow)
    sites = await picture.rows(SiteRow)
    own_orders = (row.id for row in sites.values() if row.is_barred)
    return list_barred_sites(orders.values()).union(own_orders)


async def find_sheltering_sites(picture: RealmSnapshot) -> frozenset[str]:
    """Return the sites with an order to shelter, of their own or for their area.

    Rules D78 and D102.
    """
    orders = (await picture.rows(AreaOrderRow)).values()
    sites = await picture.rows(SiteRow)
    own_orders = (row.id for row in sites.values() if row.confinement == "sheltering")
    return list_barred_sites(
        order for order in orders if order.order is SiteStatus.SHELTERING
    ).union(own_orders)


def build_realm_now(picture: RealmSnapshot) -> r.Realm:
    """Return the realm of a snapshot; its clock shows now unless the snapshot is of the past."""
    return realm_resource(picture.fields, picture.clock, now_ms() if picture.at is None else None)


class QueryBase:
    """Base of all queries: opens snapshots of realms.

    Safe for concurrent use in one event loop; the caller closes `client`.
    """

    REFERENCES = 8
    PASTS = 8

    def __init__(
        self,
        client: Client,
        outlines: Outlines,
        *,
        history: History | None = None,
        texts: VaultTexts | None = None,
    ) -> None:
        self._client = client
        self._outlines = outlines
        self._history = history
        self._texts = texts
        self._rows = RowCache()
        self._references: OrderedDict[str, IndexedReference] = OrderedDict()
        self._former_sites: dict[str, tuple[str | None, dict[str, tuple[str, str]]]] = {}
        """Realm → version, and (name, commune) of the sites that it does not have any more."""
        self._pasts: OrderedDict[tuple[str, Instant], PastSnapshot] = OrderedDict()
        self._as_shaped: dict[tuple[str, str, str], Any] = {}
        """Incidents as last shaped, with the rows they were made from."""
        self._ordered: dict[str, tuple[Mapping[str, Any], list[Any]]] = {}
        """Incidents of a realm in list order, with the rows they were sorted from."""
        self._pole_levels_of: dict[
            str, tuple[Mapping[str, Any], IndexedReference, dict[str, Any]]
        ] = {}
        """Levels of the pôles of a realm, with the incidents and reference data behind them."""
        self._moment: Instant | None = None
        self._realm, self._lang = "", "fr"

    def of(self, realm: str, lang: str = "fr") -> Self:
        """Return these queries about a realm, with texts in `fr` or `en`. Caches are shared."""
        queries = copy.copy(self)
        queries._realm, queries._lang = realm, lang
        return queries

    @property
    def realm_name(self) -> str:
        """Name of the realm that these queries are about."""
        return self._realm

    def at(self, moment: Instant | None) -> Self:
        """Return these queries as of `moment`; None is now. Caches are shared."""
        queries = copy.copy(self)
        queries._moment = moment
        return queries

    def words_of(self, id: str) -> str | None:
        """Return a text of a person from `texts`; None if it was erased or never existed."""
        item = self._texts.get_many([id]).get(id) if self._texts is not None and id else None
        return None if item is None else str(item.fields.get("text") or "") or None

    def headcount_answer(self, notification: str) -> str | None:
        """Return a person's answer to a headcount, for their own link; None once it was deleted."""
        id = headcount_text_id(notification)
        item = self._texts.get_many([id]).get(id) if self._texts is not None else None
        return None if item is None else str(item.fields.get("headcount") or "") or None

    def reason_of(self, reference: str | None) -> str | None:
        """Return the text behind `text:<id>`; None for a code, since no person wrote it."""
        return (
            self.words_of(reference.removeprefix("text:"))
            if reference is not None and reference.startswith("text:")
            else None
        )

    async def read(self) -> OpenedRealm:
        """Open a realm at a time, with a shaper for its resources."""
        async with translate_store_errors():
            picture = await self._picture(self._realm, self._moment)
        return OpenedRealm(
            picture,
            Shaper(
                self._realm,
                picture.reference,
                self._outlines,
                self._lang,
                get_snapshot_time(picture),
            ),
        )

    async def _picture(self, realm: str, as_of: Instant | None) -> RealmSnapshot:
        pipe = self._client.pipeline(transaction=False)
        pipe.mget(store.EPOCH, store.STATE)
        pipe.hget(store.REALMS, realm)
        pipe.hvals(store.build_realm_key(realm, "clock"))
        pipe.hgetall(store.build_realm_key(realm, "versions"))
        (epoch, state), raw, clocks, versions = await pipe.execute()
        self._rows.begin(require_epoch(epoch, state))
        fields = None if raw is None else orjson.loads(raw)
        if fields is None or "began_at" not in fields:
            raise RealmUnknown
        clock = max(map(int, clocks), default=None)
        as_of = limit_to_present(realm, as_of, clock)
        if as_of is not None and (clock is None or as_of < clock):
            return await self._past(realm, as_of)
        if store.EVICTED in fields and clock is not None:
            return await self._past(realm, clock)
        reference = await self._realm_reference(realm, fields.get("reference"))
        counters = {key.decode(): int(value) for key, value in versions.items()}
        return CurrentSnapshot(
            self._client, self._rows, counters, realm, fields, clock, reference, as_of
        )

    async def _past(self, realm: str, as_of: Instant) -> PastSnapshot:
        if (cached_past := self._pasts.get((realm, as_of))) is not None:
            self._pasts.move_to_end((realm, as_of))
            return cached_past
        fold = await self._from_logs(lambda history: history.at(realm, as_of))
        past = await run_in_thread(PastSnapshot, realm, fold, as_of)
        if "began_at" not in past.fields:
            raise RealmUnknown("realm_not_begun")
        self._pasts[realm, as_of] = past
        while len(self._pasts) > self.PASTS:
            self._pasts.popitem(last=False)
        return past

    async def _from_logs(self, ask: Callable[[History], Awaitable[T]]) -> T:
        """Ask the logs. Raises ProblemError `broker_away` or `storage` (disk full)."""
        if self._history is None:
            raise ProblemError("broker_away", retry_after_s=5)
        try:
            return await ask(self._history)
        except (KafkaError, OSError) as error:
            raise ProblemError("broker_away", retry_after_s=5) from error
        except sqlite3.Error as error:
            raise ProblemError("storage", retry_after_s=30) from error

    async def _lines(
        self, picture: RealmSnapshot, incident: str | None, limit: int
    ) -> tuple[Sequence[LineRecord], str | None]:
        """Return the newest logbook lines of a snapshot, and the key to continue from.

        Lines of an evicted realm come from the logs.
        """
        realm = picture.realm
        newest_lines = await read_lines(
            self._client,
            realm,
            incident=incident,
            kinds=frozenset(),
            at=picture.at,
            before=None,
            limit=limit,
        )
        floor = None if newest_lines[0] else await self._floor(realm)
        if floor != store.NO_LINES:
            return newest_lines
        older = await self._older(
            realm,
            None if incident is None else (incident,),
            frozenset(),
            build_key_after(picture.at) if picture.at is not None else floor,
            limit,
        )
        return older, older[-1].key if len(older) == limit else None

    async def _floor(self, realm: str) -> str | None:
        """Return the key of the last line of a realm that Redis has dropped."""
        async with translate_store_errors():
            floor = await self._client.get(store.build_realm_key(realm, "floor"))
        return None if floor is None else str(floor.decode())

    async def _older(
        self,
        realm: str,
        incidents: Collection[str] | None,
        kinds: AbstractSet[str],
        end: str,
        limit: int,
        site: str | None = None,
    ) -> list[LineRecord]:
        """Return lines before a key from the logs, newest first."""

        def is_wanted(line: LineRecord) -> bool:
            of_it = (incidents is None or line.incident in incidents) and (
                site is None or line.site == site
            )
            return line.key < end and (not kinds or line.kind in kinds) and of_it

        return await self._from_logs(lambda history: history.lines(realm, is_wanted, limit))

    async def _realm_reference(self, realm: str, version: str | None) -> IndexedReference:
        """Return a version with the names of the sites that the realm had before."""
        reference = await self._reference(version)
        cached_sites = self._former_sites.get(realm)
        if cached_sites is None or cached_sites[0] != version:
            raw = await self._client.hgetall(store.build_realm_key(realm, "site_names"))
            names_by_site = ((key.decode(), orjson.loads(value)) for key, value in raw.items())
            former_sites = {
                id: (name, commune)
                for id, (name, commune) in names_by_site
                if id not in reference.sites
            }
            cached_sites = self._former_sites[realm] = version, former_sites
        return reference.with_former_sites(cached_sites[1])

    async def _reference(self, version: str | None) -> IndexedReference:
        if version is None:
            return NO_REFERENCE
        if (cached_reference := self._references.get(version)) is not None:
            self._references.move_to_end(version)
            return cached_reference
        raw = await self._client.hgetall(store.build_reference_key(version))
        reference = IndexedReference.of(
            version, {key.decode(): orjson.loads(value) for key, value in raw.items()}
        )
        self._references[version] = reference
        while len(self._references) > self.REFERENCES:
            self._references.popitem(last=False)
        return reference

    async def epoch(self) -> str:
        """Return the epoch of the cache. Raises Rebuilding while there is none."""
        async with translate_store_errors():
            return require_epoch(*await self._client.mget(store.EPOCH, store.STATE))

    async def realms(self, *, as_of: Instant | None = None) -> list[r.Realm]:
        """List the realms: live ones first, then the newest.

        They have their present state; realms opened after `as_of` are left out.
        """
        await self.epoch()
        async with translate_store_errors():
            raw = await self._client.hgetall(store.REALMS)
            fields = [
                f
                for f in map(orjson.loads, raw.values())
                if "began_at" in f and (as_of is None or f["opened_at"] <= as_of)
            ]
            pipe = self._client.pipeline(transaction=False)
            for one in fields:
                pipe.hvals(store.build_realm_key(one["name"], "clock"))
            clocks = await pipe.execute() if fields else []
        real = now_ms() if as_of is None else None
        pairs = zip(fields, clocks, strict=True)
        realm_list = [
            realm_resource(f, max(map(int, clock), default=None), real) for f, clock in pairs
        ]
        return sorted(
            realm_list, key=lambda one: (one.simulated, -one.opened_at.timestamp(), one.name)
        )

    async def find_own_realm(self) -> tuple[str | None, int]:
        """Return the state of this realm, and the next record to read of its alerts log.

        The state is None if the realm was never opened. Raises ProblemError while the read model is rebuilt or away.
        """
        await self.epoch()
        partition = partition_of(self._realm, PARTITION_COUNT)
        async with translate_store_errors():
            pipe = self._client.pipeline(transaction=True)
            pipe.hget(store.REALMS, self._realm)
            pipe.get(store.build_position_key("alerts", partition))
            fields, position = await pipe.execute()
        realm = {} if fields is None else orjson.loads(fields)
        state = realm["state"] if "began_at" in realm else None
        return state, int(orjson.loads(position)["next"]) if position else 0

    async def find_log_end(self, kafka: str) -> int:
        """Return the next record to be written to the alerts log of this realm's partition.

        Raises ProblemError `broker_away`.
        """
        partition = TopicPartition(log_topic("alerts"), partition_of(self._realm, PARTITION_COUNT))
        try:
            async with PartitionReader(kafka, fetch_bytes=1) as reader:
                return (await reader.ends([partition]))[partition]
        except (KafkaError, OSError) as error:
            raise ProblemError("broker_away", retry_after_s=5) from error

    async def realm(self) -> r.Realm:
        view = await self.read()
        return build_realm_now(view.picture)

    async def reference(self) -> IndexedReference:
        return (await self.read()).picture.reference


def limit_to_present(realm: str, as_of: Instant | None, clock: Instant | None) -> Instant | None:
    """Return `as_of`, or None (now) if it lies in the future.

    In a simulated realm its own clock is the present.
    """
    newest = max(clock or 0, now_ms() if is_live(realm) else 0)
    return None if as_of is not None and as_of > newest else as_of


def require_epoch(epoch: bytes | None, state: bytes | None) -> str:
    """Return the epoch from the stored values. Raises Rebuilding unless the cache is live."""
    if epoch is None or state != b"live":
        raise Rebuilding
    return epoch.decode()


def get_known(things: Mapping[str, Any], id: str) -> Any:
    if id not in things:
        raise NotFound
    return things[id]


def page_by_id(items: Sequence[Any], limit: int, cursor: str | None) -> Page[Any]:
    page_items, following = paginate(items, lambda item: (item.id,), limit, cursor)
    return Page(items=page_items, next=following)
