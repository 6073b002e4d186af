"""Accept photos of reports."""
