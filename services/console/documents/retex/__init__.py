"""Lessons learned (RETEX): `draft_retex` makes the document from facts. Rule D53."""

from services.console.documents.retex.draft import draft_retex
from services.console.documents.retex.facts import RetexFacts, count_agent_days

__all__ = ["RetexFacts", "count_agent_days", "draft_retex"]
