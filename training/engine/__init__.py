"""How any method runs on Ray Train: session, workers, checkpoints, resume, logs, curves."""
