"""Online lookups of the active generation and its statistics."""
