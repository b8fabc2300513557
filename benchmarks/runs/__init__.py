"""Whole runs: resumed after kills, and with other options."""
