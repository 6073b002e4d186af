"""Stream changes of a realm to open pages."""
