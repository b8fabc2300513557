"""The graph in a Neo4j server: Community edition, 5.26 or a calendar release."""

from graphdb.neo4j.store import Neo4jGraph

__all__ = ["Neo4jGraph"]
