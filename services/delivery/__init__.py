"""Delivery: which person is told on which channel, in which attempt, and what came back (DESIGN §2, Effects)."""
