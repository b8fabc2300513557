"""Adapters to Feast: its online stores on the tables and hashes of ours, and its registry."""
