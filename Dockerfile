# One image a role: docker build --build-arg ROLE=ingest|training|serving .
FROM python:3.11.13-slim-bookworm AS build
ARG ROLE=serving
WORKDIR /source
RUN pip install --no-cache-dir "uv>=0.9,<1" && uv venv /opt/mmga
COPY pyproject.toml requirements.lock README.md LICENSE mmga.py mmga_demo.py ./
COPY foundation foundation
COPY graphdb graphdb
COPY featurestore featurestore
COPY ingest ingest
COPY training training
COPY serving serving
# Compiled here, for the file system of a container is not written.
RUN uv pip install --python /opt/mmga/bin/python --no-cache --compile-bytecode \
    --constraint requirements.lock ".[${ROLE},neo4j,redis,postgres]"

FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/mmga /opt/mmga
RUN useradd --no-create-home --uid 10001 mmga && install --directory --owner=mmga /state
# What libraries keep in a home of their own goes to /tmp, which compose.yaml mounts in memory.
ENV PATH=/opt/mmga/bin:$PATH HOME=/tmp MMGA_HOME=/state
USER mmga
VOLUME /state
ENTRYPOINT ["mmga"]
