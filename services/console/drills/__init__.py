"""Propose short exercises from the weakest plans, and follow first actions over exercises."""
