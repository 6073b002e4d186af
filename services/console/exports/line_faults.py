"""Name the faults of an imported table by their line, never by its content."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.console.i18n import Translator
from services.runtime.http.problems import FieldFault, Language, build_fault

FAULTS_SHOWN: Final = 20
TABLE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""Body of an import in the OpenAPI document."""
_NOT_UTF_8: Final = build_fault(
    "",
    "not_utf_8",
    "ce fichier n’est pas en UTF-8 : enregistrez-le en « CSV UTF-8 »",
    "this file is not UTF-8: save it as “CSV UTF-8”",
)


@dataclass(frozen=True, slots=True)
class LineFault:
    """One problem of a file, without the content of its line."""

    line: int
    fault: FieldFault


class TableInvalid(ValueError):
    """Signal a file that cannot be imported.

    The message has one line per problem, in French, with line number and without content.
    """

    def __init__(self, faults: Sequence[LineFault]) -> None:
        super().__init__("\n".join(_format_fault(one) for one in faults))
        self.faults = tuple(faults)


def _format_fault(one: LineFault) -> str:
    field = f"{one.fault.field}, " if one.fault.field else ""
    return f"ligne {one.line} : {field}{one.fault.message['fr']}"


def decode_table(content: bytes) -> list[str]:
    """Return the lines of a file. Raises TableInvalid."""
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableInvalid([LineFault(line, _NOT_UTF_8)]) from error


def convert_line_faults(faults: Sequence[LineFault], _: Translator) -> tuple[FieldFault, ...]:
    """Return the first faults as those of a request, each under its line."""
    return tuple(
        FieldFault(_("ligne {n}", n=one.line), one.fault.code, one.fault.message)
        for one in faults[:FAULTS_SHOWN]
    )


def describe_line_faults(faults: Sequence[LineFault], _: Translator) -> tuple[list[str], str]:
    """Return the first faults as sentences, and the text that refuses the file with them."""
    sentences = [_describe_fault(one, _) for one in faults[:FAULTS_SHOWN]]
    more = len(faults) - len(sentences)
    end = [_.plural("et {n} autre", "et {n} autres", more)] if more else []
    head = _("Rien n’est écrit : ce fichier est à corriger.")
    return sentences, "\n".join([head, *sentences, *end])


def _describe_fault(one: LineFault, _: Translator) -> str:
    language: Language = "en" if _.lang == "en" else "fr"
    field = f"{one.fault.field}, " if one.fault.field else ""
    return _("Ligne {line} : {what}", line=one.line, what=field + one.fault.message[language])
