"""Vectors of all users, in this process or as Ray tasks."""
