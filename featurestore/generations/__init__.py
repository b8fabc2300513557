"""Generations: sealed folders, soundness of their vectors, base index."""
