"""Tune Python's garbage collector, so that it does not stop a process in the middle of a request.

See `docs/adr/0030-freeze-long-lived-objects-in-the-garbage-collector.md`.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 10)
"""Collection thresholds. Rendering a page keeps some thousands of objects alive.

With Python's 700 they all grow old before they are freed.
"""


def freeze_long_lived() -> None:
    """Exempt all present objects from collections: modules and schemas live as long as the process.

    Reference counts free them as before.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
