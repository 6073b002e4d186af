"""A change of one record waits without a version; its approval brings the prepared one (D86)."""

from __future__ import annotations

import pytest

from schemas.reference import ReferencePublished, SectionData, compute_version
from schemas.reference_changes import (
    ApproveReference,
    ChangeState,
    DeclineReference,
    DraftReference,
    PreparedVersion,
    ProposeReference,
    RecordEdit,
    RecordKind,
    ReferenceChangeRow,
)
from schemas.runtime import CommandApplied, CommandRefused
from services.territory.differences import compare_sections
from services.territory.editing.records import apply_edit, build_edit, read_record
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

BASE = territory().version
FIRST, SECOND = "prefecture_cod", "prefecture"
Sections = tuple[SectionData, ...]


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def edit(contact: str = FIRST, ask: str = "Heure du prochain point") -> RecordEdit:
    made = build_edit(territory().sections, RecordKind.CONTACT, contact, {"ask": ask})
    assert made is not None
    return made


def prepare(change: RecordEdit, sections: Sections) -> tuple[PreparedVersion, Sections]:
    after = tuple(apply_edit(sections, change))
    differences = tuple(compare_sections(sections, after))
    base = compute_version(sections)
    return (
        PreparedVersion(reference=compute_version(after), base=base, sections=differences),
        after,
    )


def propose(scene: Scene, change: RecordEdit, minute: float, author: str = "ana") -> str:
    prepared, _ = prepare(change, territory().sections)
    answer = scene.command(
        ProposeReference(
            author=author,
            role="coordinator",
            reason="text:why",
            reference=prepared.reference,
            base=scene.state.version,
            sections=prepared.sections,
            edit=change,
        ),
        minute,
    )
    assert isinstance(answer, CommandApplied), answer
    return str(answer.result["change"])


def approve(
    scene: Scene, id: str, change: RecordEdit, sections: Sections, minute: float
) -> tuple[CommandApplied | CommandRefused, Sections]:
    prepared, after = prepare(change, sections)
    for section in after:
        scene.command(
            DraftReference(
                author="bea", role="director", reference=prepared.reference, data=section
            ),
            minute,
        )
    answer = scene.command(
        ApproveReference(author="bea", role="director", change=id, prepared=prepared), minute
    )
    assert isinstance(answer, CommandApplied | CommandRefused)
    return answer, after


def settle(scene: Scene, minute: float) -> None:
    scene.step(minute)
    while (first := scene.state.agenda.first()) is not None and first.due <= scene.at(minute):
        scene.step(minute)


def row(scene: Scene, id: str) -> ReferenceChangeRow:
    return scene.state.reference_changes[id]


def test_a_proposed_edit_holds_no_version(scene: Scene) -> None:
    id = propose(scene, edit(), 0)
    assert row(scene, id).state is ChangeState.PROPOSED
    assert not scene.state.drafted


def test_the_approval_of_a_second_person_brings_the_record_into_force(scene: Scene) -> None:
    id = propose(scene, edit(), 0)
    answer, after = approve(scene, id, edit(), territory().sections, 1)
    assert isinstance(answer, CommandApplied), answer
    settle(scene, 2)
    assert row(scene, id).state is ChangeState.IN_FORCE
    assert scene.state.version == compute_version(after)
    published = [f.data for f in scene.named(ReferencePublished) if f.reference != BASE]
    assert tuple(published) == after


def test_edits_of_two_records_both_come_into_force(scene: Scene) -> None:
    """The second one was proposed from a version that is no longer in force."""
    one, two = edit(FIRST), edit(SECOND)
    first, second = propose(scene, one, 0), propose(scene, two, 0)
    _, after = approve(scene, first, one, territory().sections, 1)
    settle(scene, 2)
    answer, last = approve(scene, second, two, after, 3)
    assert isinstance(answer, CommandApplied), answer
    settle(scene, 4)
    assert row(scene, second).state is ChangeState.IN_FORCE
    for id in (FIRST, SECOND):
        contact = read_record(last, RecordKind.CONTACT, id)
        assert contact["ask"] == "Heure du prochain point"
    assert scene.state.version == compute_version(last)


def test_a_second_open_change_of_the_same_record_is_refused(scene: Scene) -> None:
    id = propose(scene, edit(), 0)
    prepared, _ = prepare(edit(ask="Autre chose"), territory().sections)
    command = ProposeReference(
        author="bea",
        role="director",
        reason="text:why",
        reference=prepared.reference,
        base=BASE,
        sections=prepared.sections,
        edit=edit(ask="Autre chose"),
    )
    answer = scene.command(command, 1)
    assert isinstance(answer, CommandRefused)
    assert (answer.status, answer.code) == (409, "record_proposed")
    scene.command(DeclineReference(author="bea", role="director", reason="text:no", change=id), 2)
    assert isinstance(scene.command(command, 3), CommandApplied)
    open_edit = row(scene, id).edit
    assert open_edit is not None
    assert open_edit.fields[0].after == "Heure du prochain point"


def test_the_author_does_not_approve_the_own_edit(scene: Scene) -> None:
    id = propose(scene, edit(), 0, author="bea")
    answer, _ = approve(scene, id, edit(), territory().sections, 1)
    assert isinstance(answer, CommandRefused)
    assert answer.code == "second_person_needed"


@pytest.mark.parametrize("prepared", [None, "old"])
def test_an_approval_without_the_version_of_now_is_refused(
    scene: Scene, prepared: str | None
) -> None:
    id = propose(scene, edit(), 0)
    version = PreparedVersion(reference="a" * 16, base="b" * 16, sections=()) if prepared else None
    answer = scene.command(
        ApproveReference(author="bea", role="director", change=id, prepared=version), 1
    )
    assert isinstance(answer, CommandRefused)
    assert answer.code == "edit_unprepared"
    assert row(scene, id).state is ChangeState.PROPOSED
