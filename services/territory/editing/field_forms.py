"""Write values of records that a form has no field for as texts, and read them back. Rule D86."""

import re
from enum import StrEnum
from typing import Any, Final

from schemas.reference_changes import FieldValue
from services.territory.editing.conditions import (
    ConditionInvalid,
    read_conditions,
    write_conditions,
)
from services.territory.source import parse_clock

_SPAN: Final = re.compile(r"\s*(\S+?)\s*[-–]\s*(\S+?)\s*")
YES_NO: Final = ("oui", "non")


class FormInvalid(ValueError):
    """Signal a text that does not have the form of its field."""

    def __init__(self, code: str, message: str, french: str = "") -> None:
        super().__init__(message)
        self.code, self.french = code, french


class FieldForm(StrEnum):
    """Form in which people write a value."""

    CLOCK = "clock"
    """Local minutes as `08:00`."""
    SPAN = "span"
    """Two clocks of a day as `20:00-08:00`; empty: the whole day."""
    YES_NO = "yes_no"
    """Truth as `oui` or `non`."""
    CONDITIONS = "conditions"
    """Alternatives of a condition, one a line."""


def write_form(form: FieldForm, value: Any) -> FieldValue:
    """Return a value as people write it."""
    match form:
        case FieldForm.CLOCK:
            return _write_clock(value)
        case FieldForm.SPAN:
            return None if value is None else "-".join(_write_clock(minute) for minute in value)
        case FieldForm.YES_NO:
            return "oui" if value else "non"
        case FieldForm.CONDITIONS:
            return write_conditions(value)


def read_form(form: FieldForm, value: FieldValue) -> Any:
    """Return the value that a text means. Raises FormInvalid."""
    text = value if isinstance(value, str) else ""
    match form:
        case FieldForm.CLOCK:
            return _read_clock(text, "clock")
        case FieldForm.SPAN:
            if not text:
                return None
            if (parts := _SPAN.fullmatch(text)) is None:
                raise FormInvalid("clock_span", f"{text[:40]!r} is not a span such as 20:00-08:00")
            return (_read_clock(parts[1], "clock_span"), _read_clock(parts[2], "clock_span"))
        case FieldForm.YES_NO:
            if text not in YES_NO:
                raise FormInvalid("yes_no", "must be oui or non", "oui ou non")
            return text == YES_NO[0]
        case FieldForm.CONDITIONS:
            lines = value if isinstance(value, tuple) else (text,) if text else ()
            try:
                return read_conditions(lines)
            except ConditionInvalid as error:
                raise FormInvalid(error.code, error.en, error.fr) from None


def _read_clock(text: str, code: str) -> int:
    try:
        return parse_clock(text)
    except ValueError as error:
        raise FormInvalid(code, str(error)) from None


def _write_clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
