"""Situation report: `draft_sitrep` makes the document from facts. Rule D54."""

from services.console.documents.sitrep.draft import REMARKS, draft_sitrep

__all__ = ["REMARKS", "draft_sitrep"]
