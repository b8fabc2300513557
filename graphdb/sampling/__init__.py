"""Sampled neighbours, in numpy and as PyG samplers."""
