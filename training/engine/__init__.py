"""Runs any method on Ray Train: session, workers, checkpoints, resume, logs, curves."""
