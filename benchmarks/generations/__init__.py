"""Generations: what it costs to make and to serve one."""
