"""Call out many people at once and tally headcounts."""
