"""Generations: sealed folders, their soundness, their base index."""
