"""Examples of the bodies that the front takes, by the name of their schema.

A test validates each.
"""

from __future__ import annotations

from typing import Any, Final

_REPORT: Final[dict[str, Any]] = {
    "site_id": "cen-1",
    "type": "outage_power",
    "severity": 3,
    "occurred_at": "2027-02-11T09:40:00+01:00",
    "headline": "Panne de courant",
}

BODY_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "BatchItem": _REPORT | {"idempotency_key": "gtb-7f3a"},
    "NativeReport": _REPORT | {"capacity_lost_pct": 50, "expected_duration_h": 2},
    "NewPassword": {"password": "quatre mots sans aucun lien"},
    "NewSecondFactor": {"secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "second": "492039"},
    "NewSource": {
        "name": "gtb-nord",
        "dialect": "generic",
        "site": "cen-1",
        "type": "outage_heating",
        "heartbeat_s": 300,
    },
    "NewToken": {"role": "observer", "label": "tableau de bord", "days": 90},
    "NewUser": {"login": "m.durand", "role": "cell", "person": "p-0042"},
    "ReportBatch": {"reports": [_REPORT]},
    "SourceChange": {"heartbeat_s": 600},
    "TypedLine": {"text": "117 ELEC", "caller": "telephone"},
}
