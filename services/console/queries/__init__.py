"""Queries by subject; `services.console.readmodel.ReadModel` is all of them."""
