"""Events that could not be applied: kept with their reason, listed, replayed."""
