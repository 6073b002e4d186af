"""Watch official feeds and report their news. Each feed is one file in `feeds/`."""
