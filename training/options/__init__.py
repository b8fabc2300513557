"""Frozen configs of any method: bounds of numbers, JSON documents, assignments by name."""
