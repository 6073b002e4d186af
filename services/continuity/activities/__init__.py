"""Assess activities: capacity, RTO and MTPD clocks, alarms and forecasts."""
