"""Commands for on-call, call-outs and channels."""
