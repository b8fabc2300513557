# One image a role: docker build --build-arg ROLE=serving|ingest|training .
FROM python:3.11-slim
ARG ROLE=serving
WORKDIR /app
COPY pyproject.toml requirements.lock README.md mmga.py ./
COPY graphdb graphdb
COPY featurestore featurestore
COPY ingest ingest
COPY training training
COPY serving serving
RUN pip install --no-cache-dir "uv>=0.9" \
    && uv pip install --system --no-cache --constraint requirements.lock ".[${ROLE}]" \
    && useradd --create-home --uid 10001 mmga \
    && install --directory --owner mmga /state
USER mmga
ENV MMGA_HOME=/state
VOLUME /state
ENTRYPOINT ["mmga"]
