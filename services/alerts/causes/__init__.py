"""Open, merge, restore and suppress causes, and derive the status of sites."""
