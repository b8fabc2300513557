"""Real servers for tests and for local work, started on loopback without Docker.

Neo4j and Kafka run from their Maven Central artifacts, Redis and PostgreSQL from the system's
packages. `fixtures` starts each once a test session, or takes the one that a variable names.
`python -m tests.servers` (`make services`) starts all of them for a person.
"""

from tests.servers.kafka import start_kafka
from tests.servers.neo4j import start_neo4j
from tests.servers.postgres import start_postgres
from tests.servers.redis import start_redis
from tests.servers.server import Server, ServerMissing

__all__ = [
    "Server",
    "ServerMissing",
    "start_kafka",
    "start_neo4j",
    "start_postgres",
    "start_redis",
]
