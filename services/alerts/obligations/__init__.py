"""Legal deadlines: the clocks of obligations. Rule D92."""
