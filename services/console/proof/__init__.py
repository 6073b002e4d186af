"""Tell the proven share of each plan, on pages and in the API."""
