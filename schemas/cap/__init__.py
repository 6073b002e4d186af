"""CAP 1.2 constants, shared by the code that reads messages and the code that emits them.

Rule D2.
"""

from pathlib import Path
from typing import Final

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE: Final = "application/cap+xml"
XSD: Final = Path(__file__).with_name("cap-1.2.xsd")
"""Vigie's own grammar of the specification's data dictionary."""

SEVERITY: Final = {"Extreme": 5, "Severe": 4, "Moderate": 3, "Minor": 2, "Unknown": 2}
"""CAP severity → severity of Vigie. Rule D2."""
SEVERITY_WORD: Final = {5: "Extreme", 4: "Severe", 3: "Moderate", 2: "Minor", 1: "Minor"}
"""Severity of Vigie → CAP severity. Rule D2."""
