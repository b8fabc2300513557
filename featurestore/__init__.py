"""Online features, their history, and the generations of user representations."""
