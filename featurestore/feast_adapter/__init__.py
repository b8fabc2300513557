"""Feast: its online stores over ours, its registry."""
