"""Propose, activate and stand down continuity plans."""
