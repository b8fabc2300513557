"""Events: their wire format, their values, and the facts that they state."""
