"""Neo4j Community, from its jars."""

from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.artifacts import find_java, jars
from tests.servers.server import LOOPBACK, Program, Server, free_port

NAME = "Neo4j"
CALENDAR_NAME = "Neo4j calendar release"
LTS = "5.26.25"
CALENDAR = "2026.09.0"
LTS_JAVA = 17
CALENDAR_JAVA = 25
PASSWORD = "password"
OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")
CONFIGURATION = """\
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.usage_report.enabled=false
server.memory.pagecache.size=256m
dbms.security.auth_max_failed_attempts=0
{more}"""


def start_neo4j(
    folder: Path, *, version: str = LTS, port: int = 0, heap: str = "768m", settings: str = ""
) -> Server:
    """Start a server of its own, with its home in `folder`. Raises ServerMissing."""
    lib = jars(f"neo4j-{version}", f"org.neo4j:neo4j:{version}")
    is_lts = version.startswith("5.")
    java = find_java(LTS_JAVA if is_lts else CALENDAR_JAVA)
    main = "org.neo4j.server.CommunityEntryPoint" if is_lts else "org.neo4j.server.Neo4jCommunity"
    port = port or free_port()
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "neo4j.conf").write_text(CONFIGURATION.format(port=port, more=settings))
    command = [
        java, f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC",
        *(f"--add-opens=java.base/{each}=ALL-UNNAMED" for each in OPENED),
        "--enable-native-access=ALL-UNNAMED", "-cp", f"{lib}/*", main,
        f"--home-dir={folder}", f"--config-dir={folder / 'conf'}", "--console-mode",
    ]  # fmt: skip
    server = Server(
        NAME if is_lts else CALENDAR_NAME,
        f"neo4j://neo4j:{PASSWORD}@{LOOPBACK}:{port}/neo4j",
        ask_version,
        program=Program(command=command, folder=folder),
    )
    return server.start()


def ask_version(url: str) -> str:
    """The version and edition that the server names; sets the first password of a new one."""
    from neo4j import GraphDatabase
    from neo4j.exceptions import AuthError

    parts = urlsplit(url)
    address = f"bolt://{parts.hostname}:{parts.port}"
    user, password = parts.username or "neo4j", parts.password or ""
    try:
        with (
            GraphDatabase.driver(address, auth=(user, password)) as driver,
            driver.session() as each,
        ):
            row = each.run("CALL dbms.components()").data()[0]
    except AuthError:
        with (
            GraphDatabase.driver(address, auth=("neo4j", "neo4j")) as driver,
            driver.session(database="system") as each,
        ):
            each.run("ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $new", new=password).consume()
        return ask_version(url)
    return f"{row['versions'][0]} {row['edition']}"
