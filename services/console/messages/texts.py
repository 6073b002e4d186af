"""Texts of a notification as delivery sends them, or would send them. Rule D70, message content.

The link is masked, so that readers cannot answer for the person. The mask has the length of a real
link, so that texts are shortened in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas.delivery import NotificationRow
from schemas.topics import parse_realm
from services.console.resources import Texts
from services.messages import MessageNames, compose_message, load_phrases
from services.messages.names import TERRITORY
from services.runtime.identity.signed_links import compute_token_length

_MASK_CHARACTER = "x"


@dataclass(frozen=True, slots=True)
class Wording:
    """Settings for texts in a list: the public address, and the right to read free text."""

    public_url: str
    free_texts: bool


def compose_texts(
    row: NotificationRow,
    realm: str,
    names: MessageNames,
    lang: str,
    public_url: str,
    cell_text: str | None,
) -> Texts:
    """Compose the texts of one notification; `cell_text` is the free text of the cell."""
    here = replace(names, territory=TERRITORY.get(parse_realm(realm)[0], ""))
    link = (
        f"{public_url}/a/{_MASK_CHARACTER * compute_token_length(realm, row.person)}"
        if row.answer_expected
        else None
    )
    text = compose_message(row, here, load_phrases(lang), link, cell_text, public_url=public_url)
    return Texts(
        sms=text.sms,
        voice=text.voice,
        push=f"{text.push_title}\n{text.push}",
        email_subject=text.subject,
        email_body=text.plain(),
    )
