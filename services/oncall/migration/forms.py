"""Check the form of the objects of an export at reading; fields that nothing reads are free."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

Id = str | int | None


class FormInvalid(ValueError):
    """Signal an object of an unexpected form; the message names the path of each field."""


class Form(BaseModel):
    """Fields of an object that the conversion reads."""


def check_forms(
    items: Iterable[dict[str, Any]], forms: dict[str, type[Form]], kinds: Iterable[str]
) -> None:
    """Check objects against the forms of their kinds. Raises FormInvalid."""
    faults = [
        fault
        for number, (item, kind) in enumerate(zip(items, kinds, strict=True), 1)
        if kind in forms
        for fault in _find_faults(f"objet {number}", forms[kind], item)
    ]
    if faults:
        raise FormInvalid(" ; ".join(dict.fromkeys(faults)))


def _find_faults(subject: str, form: type[Form], item: dict[str, Any]) -> Iterator[str]:
    try:
        form.model_validate(item)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            steps = [str(step) for step in fault["loc"] if step not in ("str", "int")]
            path = ".".join(steps) or "username, email"
            yield f"{subject}, {path} : forme inattendue"
