"""Edges, neighbourhoods and negatives, from a snapshot or from a live database."""
