"""CAP 1.2 as both doors speak it: the one that reads messages and the one that emits them (D2)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE: Final = "application/cap+xml"
XSD: Final = Path(__file__).with_name("cap-1.2.xsd")
"""Our own grammar of the specification's data dictionary."""

SEVERITY: Final = {"Extreme": 5, "Severe": 4, "Moderate": 3, "Minor": 2, "Unknown": 2}
"""D2: CAP's word → ours."""
SEVERITY_WORD: Final = {5: "Extreme", 4: "Severe", 3: "Moderate", 2: "Minor", 1: "Minor"}
"""D2: ours → CAP's word."""
