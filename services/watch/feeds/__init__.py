"""The connectors. Each module has one `CONNECTOR`; the registry finds it by itself."""
