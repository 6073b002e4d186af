"""Replay a recording in memory, through the pure deciders, perhaps with other reference data.

A recording is replayed as it was, or with other reference data from a position on. Both replays of a comparison
take the same steps, so each difference comes from the change. People answer as they did. For a
message that was never sent in reality, a person needs as long as for another, or never answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from schemas.base import Instant
from schemas.reassignment import ProposalComputed
from schemas.reference import PublishReference, Section, SectionData
from schemas.reference_changes import (
    ApproveReference,
    DeclineReference,
    DraftReference,
    ProposeReference,
    WithdrawReference,
)
from schemas.runtime import OpenRealm
from schemas.topics import SERVICES, is_live, parse_realm
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.continuity.reassignment.proposals import ProposalJob, Proposals
from services.delivery.decider import DeliveryDecider
from services.delivery.simulated_channels import respond_to_fact
from services.runtime.log.transaction import FactRecord
from services.runtime.testing import MemorySystem
from services.simulation.recording import ForkPoint, Recording, is_reference
from services.territory.source import (
    YamlInvalid,
    find_line,
    is_too_large,
    read_yaml,
    to_plain_value,
)

_NAME_FIELDS: Final = ("id", "level", "wave", "insee", "activity", "channel", "role")
"""Fields that identify an element of a list; the first that all elements have counts."""
_SECTIONS: Final = tuple(section.value for section in Section)
AUTHOR: Final = "system:whatif"
DRIVER_FACTS: Final = frozenset(
    {
        "StepAccepted",
        "StepSettled",
        "CommandApplied",
        "CommandRefused",
        "InputDuplicate",
        "RealmOpened",
        "RealmClosed",
        "PaceChanged",
        "ReferencePublished",
    }
)
"""Facts about how a history was driven, not about its content."""
SENDER_FACTS: Final = frozenset(
    {"NotificationChanged", "AttemptGranted", "Unreachable", "AnswerReceived"}
)
"""Facts of a live realm that depend on real senders and providers, which a replay simulates."""
_REFERENCE_COMMANDS: Final = (
    DraftReference,
    ProposeReference,
    ApproveReference,
    DeclineReference,
    WithdrawReference,
)


class ChangeInvalid(ValueError):
    """Signal a patch that does not fit the reference data; the message names the place."""


def read_patch(file: Path) -> dict[str, Any]:
    """Read a patch file: section → change.

    Raises ChangeInvalid and OSError.
    """
    try:
        patch = read_yaml(file)
    except YamlInvalid as error:
        raise ChangeInvalid(f"{file}:{error.line}: {error}") from error
    if not isinstance(patch, dict) or not patch or not set(patch) <= set(_SECTIONS):
        raise ChangeInvalid(f"{file}: sections are expected ({', '.join(_SECTIONS)})")
    if wide := next((section for section in patch if is_too_large(patch[section])), None):
        raise ChangeInvalid(
            f"{file}:{find_line(patch, wide)}: {wide} holds too much for a patch, or itself: give a whole folder by --territory"
        )
    return {section: to_plain_value(change) for section, change in patch.items()}


def apply_patch(
    sections: Sequence[SectionData], patch: Mapping[str, Any]
) -> tuple[SectionData, ...]:
    """Merge a patch into the sections.

    Mappings are merged, null removes a key, elements of lists are addressed by name. Raises
    ChangeInvalid.
    """
    have = {section.section.value for section in sections}
    if unknown := sorted(set(patch) - have):
        raise ChangeInvalid(f"{unknown[0]}: the realm has no such section")
    return tuple(
        _patch_section(section, patch[section.section.value])
        if section.section.value in patch
        else section
        for section in sections
    )


def _patch_section(section: SectionData, patch: Any) -> SectionData:
    new_data = _merge_value(section.model_dump(mode="json"), patch, section.section.value)
    try:
        return type(section).model_validate(new_data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ChangeInvalid(f"{section.section.value}.{where}: {fault['msg']}") from error


def _merge_value(value: Any, patch: Any, where: str) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    if isinstance(value, list):
        return _merge_list(value, patch, where)
    new_value = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            new_value.pop(str(key), None)
        else:
            new_value[str(key)] = _merge_value(new_value.get(str(key)), change, f"{where}.{key}")
    return new_value


def _merge_list(value: list[Any], patch: Mapping[Any, Any], where: str) -> list[Any]:
    name = next(
        (n for n in _NAME_FIELDS if value and all(isinstance(e, dict) and n in e for e in value)),
        None,
    )
    if name is None:
        raise ChangeInvalid(f"{where}: elements of this list have no name; give the whole list")
    change_by_key = {str(key): change for key, change in patch.items()}
    new_list = []
    for element in value:
        key = str(element[name])
        change = change_by_key.pop(key, {})
        if change is not None:
            new_list.append(_merge_value(element, change, f"{where}.{key}"))
    for key, addition in change_by_key.items():
        if addition is None or name not in addition:
            element_names = ", ".join(sorted({str(e[name]) for e in value})[:8])
            raise ChangeInvalid(
                f"{where}: no element {name} = {key} (there are {element_names}); a new one needs its `{name}`"
            )
        new_list.append(addition)
    return new_list


def build_commands(
    sections: Sequence[SectionData], realm: str
) -> list[tuple[str, PublishReference]]:
    """Build (input id, command) for each section, under a version of their own."""
    raw = b"\n".join(section.model_dump_json().encode() for section in sections)
    version = blake2b(raw, digest_size=8).hexdigest()
    return [
        (
            f"reference:{realm}:{version}:{s.section}",
            PublishReference(
                author=AUTHOR, role="admin", reference=version, data=s, last=n == len(sections)
            ),
        )
        for n, s in enumerate(sections, start=1)
    ]


def get_initial_reference(recording: Recording) -> tuple[SectionData, ...]:
    """Return the sections of the reference data at the start of the recording."""
    first = next((o.message for o in recording.outside if is_reference(o)), None)
    if not isinstance(first, PublishReference):
        return ()
    return tuple(
        o.message.data
        for o in recording.outside
        if isinstance(o.message, PublishReference) and o.message.reference == first.reference
    )


class _RecordedProposals(Proposals):
    """Planner that computes each answer anew and releases it when the recorded one came.

    Answers a request at once if it was not made in reality.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._held = {
            fact.data["request"] for fact in recording.facts if fact.name == "ProposalRequested"
        }
        self._live = is_live(recording.realm)

    def job(self, realm: str) -> ProposalJob | None:
        job = super().job(realm)
        return None if job is None or job.id in self._held else job

    def release(self, request: str) -> None:
        """Release the answer to a request, because the recorded answer came here."""
        self._held.discard(request)

    def time_moves(self) -> None:
        """Release every open request before time moves in a simulated realm."""
        if not self._live:
            self._held -= {
                job.id for realm in self.realms if (job := Proposals.job(self, realm)) is not None
            }


def replay_recording(
    recording: Recording,
    changed_sections: Sequence[SectionData] = (),
    fork: ForkPoint | None = None,
) -> list[FactRecord]:
    """Replay a recording and return its facts, service after service in log order.

    `changed_sections` replaces the recorded reference data from the beginning, or is published at
    `fork`.
    Escalations that run then keep the version that they started with.
    """
    fork_number = None if fork is None else fork.number
    territory = parse_realm(recording.realm)[0]
    realm = f"{territory}~what-replay"
    planner = _RecordedProposals(recording)
    system = MemorySystem(
        {
            "alerts": AlertsDecider(),
            "continuity": ContinuityDecider(),
            "delivery": DeliveryDecider(),
        },
        respond_to_fact,
        check=False,
        planner=planner
        if any(fact.name == "ProposalChanged" for fact in recording.facts)
        else None,
    )
    opening_fact = recording.opening
    opening = OpenRealm(
        author=AUTHOR,
        role="admin",
        territory=territory,
        title_code=opening_fact.title_code,
        started_at=opening_fact.started_at,
        lineage=opening_fact.lineage,
        responders=recording.responders + tuple(opening_fact.responders),
    )
    system.feed("alerts", realm, opening, id=f"open:{realm}")
    now = opening_fact.started_at
    instead = {section.section: section for section in changed_sections} if fork is None else {}
    first = next(
        (o.message.reference for o in recording.outside if isinstance(o.message, PublishReference)),
        None,
    )

    def move(to: Instant) -> None:
        nonlocal now
        if to > now:
            planner.time_moves()
            system.step(realm, to)
            now = to

    def publish() -> None:
        if fork is not None and fork.at is not None:
            move(fork.at)
        for id, command in build_commands(changed_sections, realm):
            system.feed("alerts", realm, command, id=id)

    for number, outside_input in enumerate(recording.outside):
        if number == fork_number:
            publish()
        move(outside_input.at)
        message = outside_input.message
        if isinstance(message, ProposalComputed):
            planner.release(message.request)
            system.step(realm, now)
            continue
        if instead and isinstance(message, _REFERENCE_COMMANDS):
            continue  # A later version, approved by two people.
        if isinstance(message, PublishReference) and instead:
            if message.reference != first:
                continue  # A later version of sections that are changed from the beginning.
            message = message.model_copy(
                update={"data": instead.get(message.data.section, message.data)}
            )
        system.feed(outside_input.service, realm, message, id=outside_input.id, at=outside_input.at)
    if fork_number == len(recording.outside):
        publish()
    planner.time_moves()
    if recording.end > now:
        system.step(realm, recording.end)
    return system.facts(realm, list(SERVICES))


def count_matching_facts(
    recording: Recording, replayed_facts: Sequence[FactRecord]
) -> tuple[int, int]:
    """Count (recorded facts that the replay gives too, recorded facts).

    In a simulated realm, ids are derived, so the same fact has the same id. In a live realm, ids
    that follow from a message depend on a run of the sender; there, facts are compared by name and
    row id, without the facts of senders.
    """
    live = is_live(recording.realm)
    recorded_counts = Counter(
        _build_fact_key(f, live)
        for f in recording.facts
        if f.name not in DRIVER_FACTS and not (live and f.name in SENDER_FACTS)
    )
    replayed_counts = Counter(_build_fact_key(f, live) for f in replayed_facts)
    return sum((recorded_counts & replayed_counts).values()), sum(recorded_counts.values())


def _build_fact_key(fact: FactRecord, live: bool) -> tuple[str, str]:
    row = fact.data.get("row")
    return fact.name, str(
        row.get("id", "") if live and isinstance(row, dict) else "" if live else fact.id
    )
