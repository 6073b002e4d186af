"""The pure core of a decider: protocol, state of realms, inputs, deadlines and snapshot codec."""
