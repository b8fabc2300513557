"""From events to the graph, exactly once, and from its change feed to the statistics."""
