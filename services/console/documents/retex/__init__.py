"""Lessons learned (RETEX, D53): `draft_retex` makes the document from facts."""

from services.console.documents.retex.draft import draft_retex
from services.console.documents.retex.facts import RetexFacts, agent_days

__all__ = ["RetexFacts", "agent_days", "draft_retex"]
