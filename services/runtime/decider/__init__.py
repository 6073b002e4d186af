"""The pure core of a decider: protocol, realm state, inputs, deadlines and snapshot codec."""
