"""One run from snapshot to report, resumable."""
