"""A frozen copy of the graph: its files, its export, its arrays."""
