"""The connectors. Each module has one `CONNECTOR`; `list_connectors` finds it."""
