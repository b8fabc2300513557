"""Online features: the stores, and lookups over HTTP."""
