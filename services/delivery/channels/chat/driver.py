"""Send through any service of apprise.

Apprise reports success or failure without a reason. A failure may hide a message that was taken, so
it is a doubt. Nothing is sent to an address that apprise cannot read, or of a service that the
settings do not allow.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import urlsplit

import apprise

from services.delivery.channels.base import CallResult, Outgoing

logging.getLogger("apprise").disabled = True  # its lines name addresses


class ChatDriver:
    """Driver of the services in `schemes`."""

    def __init__(self, schemes: frozenset[str]) -> None:
        self._schemes = schemes

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        """Send the message; see `Driver`.

        Danger is marked as a failure, so that services can colour or ring.
        """
        if urlsplit(outgoing.address).scheme not in self._schemes:
            return CallResult("failed", error="chat_service_not_allowed")
        target = apprise.Apprise()
        if not target.add(outgoing.address):
            return CallResult("failed", error="address_invalid")
        kind = apprise.NotifyType.FAILURE if outgoing.row.danger else apprise.NotifyType.WARNING
        text = outgoing.text
        try:
            async with asyncio.timeout(timeout_s):
                is_delivered = await target.async_notify(
                    body=text.plain(),
                    title=text.subject,
                    notify_type=kind,
                    body_format=apprise.NotifyFormat.TEXT,
                )
        except TimeoutError:
            return CallResult("ambiguous", error="chat_no_answer")
        return (
            CallResult("accepted", provider_id=outgoing.row.id)
            if is_delivered
            else CallResult("ambiguous", error="chat_refused_or_lost")
        )
