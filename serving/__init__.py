"""Serve user features online: lookups, similar users, an HTTP API and a page."""
