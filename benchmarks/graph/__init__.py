"""Sampling from the graph."""
