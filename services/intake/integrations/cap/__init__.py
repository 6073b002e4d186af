"""OASIS CAP 1.2: `POST /api/v1/cap`. Bytes → message (grammar, then sense) → one native report per event that concerns the territory."""
