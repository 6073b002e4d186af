"""Page `/appareil`: how this device is called."""

from typing import Any, Final

from services.console.i18n import N_
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission


async def build_device_page(_x: ScreenData) -> dict[str, Any]:
    """Build `device.html`; its script knows the rest."""
    return {}


PAGE: Final = ScreenPage(
    "device",
    "/appareil",
    "device.html",
    build_device_page,
    N_("Cet appareil"),
    needs=Permission.INCIDENT_ACKNOWLEDGE,  # readers that are never called have no device
)
