"""Tables of kinds, one row per kind; other tables derive from them."""
