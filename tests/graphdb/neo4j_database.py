"""Gives tests an empty Neo4j database, again and again, and opens graphs in it."""

from neo4j import Driver, GraphDatabase

from graphdb import open_graph
from graphdb.neo4j.address import Address
from graphdb.store import GraphStore


class TestDatabase:
    """The one database of a Community server, as if it were many that are used in turn.

    A graph of another name than the last begins empty; one of the same name is as it was left.
    """

    __test__ = False

    def __init__(self, url: str) -> None:
        self.url = url
        address = Address.parse(url)
        self._database = address.database
        self.driver: Driver = GraphDatabase.driver(
            address.driver_url, auth=address.auth, notifications_min_severity="OFF"
        )
        self._name: str | None = None
        self._opened: list[GraphStore] = []

    def open(self, name: str = "graph", *, read_only: bool = False) -> GraphStore:
        """Open the graph of a name; stores of another name are of no use from then on."""
        if name != self._name:
            self.empty()
            self._name = name
        self._opened.append(open_graph(self.url, read_only=read_only))
        return self._opened[-1]

    def forget(self) -> None:
        """Close what is open; the next graph of any name begins empty."""
        for store in self._opened:
            store.close()
        self._opened.clear()
        self._name = None

    def empty(self) -> None:
        """Delete all nodes, in steps."""
        while self.rows("MATCH (n) WITH n LIMIT 20000 DETACH DELETE n RETURN count(*)") != [[0]]:
            pass

    def rows(self, query: str, **parameters: object) -> list[list[object]]:
        """What a query of one's own returns."""
        with self.driver.session(database=self._database) as session:
            return [list(row.values()) for row in session.run(query, parameters)]

    def plan(self, query: str) -> dict[str, object]:
        """How the server would run a query; its parameters may be absent."""
        with self.driver.session(database=self._database) as session:
            plan = session.run(f"EXPLAIN {query}").consume().plan
        assert plan is not None
        return plan

    def close(self) -> None:
        self.driver.close()
