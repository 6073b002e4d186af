"""Legal deadlines on screens and over HTTP. Rule D92."""
