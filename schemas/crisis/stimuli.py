"""Stimuli of an exercise, with their times and the notes of observers. Rule D94.

Words are in `texts`: title, source, expected reaction, and the report that tells it. A stimulus is
played once a report with its id as alias is in the realm.
"""

from typing import ClassVar, Final

from pydantic import Field

from schemas.base import Command, Instant, Model, RowFact, register_message

STIMULUS_PATTERN: Final = "^[0-9A-Za-z][0-9A-Za-z_.-]{0,39}$"
MOST_NOTES: Final = 50
"""Most notes of one stimulus."""
BEST_MARK: Final = 3


class StimulusNote(Model):
    """Note of an observer: a mark, words, or both."""

    by: str
    role: str
    at: Instant
    mark: int | None = Field(default=None, ge=0, le=BEST_MARK)
    text_id: str | None = None


class StimulusRow(Model):
    """One stimulus of an exercise."""

    id: str
    at: Instant = Field(description="planned time, on the clock of the exercise")
    text_id: str
    skipped: bool = Field(default=False, description="the organiser left it out")
    notes: tuple[StimulusNote, ...] = ()
    changed_at: Instant
    version: int = 0


@register_message
class StimulusChanged(RowFact):
    """A stimulus changed.

    `change`: planned, skipped, restored, noted.
    """

    collection: ClassVar[str] = "stimuli"
    row: StimulusRow
    change: str


@register_message
class PlanStimulus(Command):
    """Add a stimulus to an exercise; its words are in `texts`."""

    stimulus: str = Field(pattern=STIMULUS_PATTERN)
    at: Instant
    text_id: str


@register_message
class SkipStimulus(Command):
    """Leave a stimulus out."""

    stimulus: str
    expected: int | None = None


@register_message
class RestoreStimulus(Command):
    """Plan a stimulus again that was left out."""

    stimulus: str
    expected: int | None = None


@register_message
class NoteStimulus(Command):
    """Note how players reacted: a mark from 0 (nothing) to 3 (as expected), words, or both."""

    stimulus: str
    mark: int | None = Field(default=None, ge=0, le=BEST_MARK)
    text_id: str | None = None
