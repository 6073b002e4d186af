"""Typeset plans as PDF: one, or all of a territory. Rule D83."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

import orjson

from services.console.documents import pdf
from services.console.documents.plan.sheet import Numbers, PlanSheet
from services.console.i18n import Translator
from services.console.read_model.shapes import Shaper
from services.runtime.http.control_characters import replace_control_characters

TEMPLATE: Final = Path(__file__).parent / "plan.typ"
NO_NUMBERS: Final[Numbers] = {}


@cache
def _load_template() -> bytes:
    return TEMPLATE.read_bytes()


def print_plans(
    shape: Shaper,
    ids: Sequence[str],
    translator: Translator,
    at: datetime,
    *,
    numbers: Numbers = NO_NUMBERS,
) -> bytes:
    """Return a PDF of these plans; more than one begin with a table of contents.

    `at` has whole seconds. The same content at the same time gives the same bytes.
    """
    sheet = PlanSheet(shape.reference, shape, translator, at, numbers)
    plans = [sheet.build(id) for id in ids]
    title = plans[0]["title"] if len(plans) == 1 else translator("Plans de continuité")
    data = orjson.dumps({"title": title, "plans": plans}).decode()
    return pdf.typeset(_load_template(), replace_control_characters(data).encode(), at)
