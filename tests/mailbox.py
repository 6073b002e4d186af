"""A mail relay on loopback that keeps every mail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from services.runtime.process.sockets import find_free_ports


class Mailbox:
    """Every mail that the relay took, by the local part of its recipient."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.texts: dict[str, list[str]] = {}

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain",))
        text = f"{mail['Subject']}\n{body.get_content() if body is not None else ''}"
        for recipient in envelope.rcpt_tos:
            self.texts.setdefault(recipient.partition("@")[0], []).append(text)
        return "250 2.0.0 queued"

    def find_mails(self, words: str, person: str) -> list[str]:
        """Return the mails to a person with these words in their subject."""
        mails = self.texts.get(person, [])
        return [text for text in mails if words in text.partition("\n")[0]]

    def find_readers(self, words: str) -> set[str]:
        """Return the recipients of a mail with these words in its subject."""
        return {person for person in list(self.texts) if self.find_mails(words, person)}


@contextmanager
def relaying() -> Iterator[Mailbox]:
    """Run a relay until the end of the block."""
    (port,) = find_free_ports(1)
    box = Mailbox(f"smtp://127.0.0.1:{port}")
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
