"""Commands for on-call duty, call-outs and channels."""
