"""Accept OASIS CAP 1.2: `POST /api/v1/cap`.

Bytes become a message (grammar, then meaning), then one native report per event that concerns the
territory.
"""
