"""Events into the graph: from files and from Kafka, beside bare loops and other ways."""
