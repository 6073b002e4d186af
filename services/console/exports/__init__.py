"""Lists as files for other programs: CSV tables and GeoJSON maps."""
