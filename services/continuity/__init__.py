"""Assess the effect of a crisis on activities, run their clocks, and manage plans."""
