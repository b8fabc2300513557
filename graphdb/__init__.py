"""The social graph: facts, stores, change feed, statistics, snapshots and sampling."""
