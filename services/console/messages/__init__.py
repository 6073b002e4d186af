"""Notifications, call-outs, headcounts and the answer page."""
