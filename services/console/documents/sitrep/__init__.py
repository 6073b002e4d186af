"""The point de situation (D54): `draft_sitrep` makes the document from facts."""

from services.console.documents.sitrep.draft import REMARKS, draft_sitrep

__all__ = ["REMARKS", "draft_sitrep"]
