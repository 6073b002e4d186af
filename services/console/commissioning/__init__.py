"""Tell whether an installation is ready for a crisis, on pages and in the API."""
