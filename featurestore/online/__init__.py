"""The online store: one contract, on SQLite and on Redis."""
