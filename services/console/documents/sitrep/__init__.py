"""Situation report: `draft_sitrep` makes the document from facts. Rule D54."""

from services.console.documents.sitrep.draft import REMARK_SECTIONS, draft_sitrep

__all__ = ["REMARK_SECTIONS", "draft_sitrep"]
