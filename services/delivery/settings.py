"""Settings of delivery: the providers of live realms.

Each channel has its own settings beside its driver. Attempts on a channel without settings fail and
say so.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.delivery.channels.chat import ChatSettings
from services.delivery.channels.email import EmailSettings
from services.delivery.channels.sms.settings import SmsSettings
from services.delivery.channels.voice import VoiceSettings
from services.delivery.channels.webhook import WebhookSettings
from services.runtime.http.web_push import PushSettings
from services.runtime.process.settings import PublicUrl


class DeliverySettings(
    EmailSettings, SmsSettings, VoiceSettings, WebhookSettings, ChatSettings, PushSettings
):
    """`DeliverySettings()` reads the variables of all channels and `VIGIE_PUBLIC_URL`."""

    public_url: PublicUrl = ""
    """Public address of the front for links in messages; empty = `http://<VIGIE_HTTP>`."""
    realm_channels: Path | None = None
    """Folder with one file per live realm, `93.env`, that sets its channels; empty = none.

    See [channels of a territory](../how-to/several-territories.md#give-it-its-own-channels).
    """
    calls_at_once: int = Field(default=32, ge=1, le=200)
    """Provider calls per realm and channel at the same time."""

    @model_validator(mode="after")
    def _public(self) -> Self:
        if not self.public_url:
            object.__setattr__(self, "public_url", f"http://{self.http}")
        return self
