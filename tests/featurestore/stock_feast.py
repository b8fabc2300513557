"""Stock Feast in a process of its own: a line of JSON in, a line out. We are not here.

Run as `python -I -S stock_feast.py SITE_PACKAGES`: isolated, and without `.pth` files, through
which an editable install would make our packages importable.
"""

import importlib.util
import json
import sys
import warnings
from datetime import UTC, datetime
from typing import Any

sys.path.append(sys.argv[1])
warnings.simplefilter("ignore")
for package in ("featurestore", "graphdb", "ingest", "training", "serving", "mmga"):
    assert importlib.util.find_spec(package) is None, package

# Feast as it is under `python -O` and where torch is not installed: seconds less to import.
sys.modules["torch"] = None  # type: ignore[assignment]
import typeguard  # noqa: E402

typeguard.typechecked = lambda target: target

import pandas as pd  # noqa: E402
from feast import FeatureStore, RepoConfig  # noqa: E402


def answer(store: FeatureStore, request: dict[str, Any]) -> object:
    """One request: read by service or by features, read history, or write."""
    if "write" in request:
        frame = pd.DataFrame(request["rows"])
        frame["event_timestamp"] = pd.to_datetime(request["times"], utc=True)
        frame["created"] = frame["event_timestamp"]
        for column in request.get("time_columns", []):
            frame[column] = pd.to_datetime(frame[column], utc=True)
        store.write_to_online_store(request["write"], df=frame)
        return None
    service = request.get("service")
    features = store.get_feature_service(service) if service else request["features"]
    if "as_of" in request:
        entities = pd.DataFrame({"user_id": request["users"]})
        entities["event_timestamp"] = pd.to_datetime(request["as_of"], utc=True)
        frame = store.get_historical_features(entity_df=entities, features=features).to_df()
        return frame.sort_values(["user_id", "event_timestamp"]).to_dict("list")
    rows = [{"user_id": user} for user in request["users"]]
    return store.get_online_features(features=features, entity_rows=rows).to_dict()


def plain(value: object) -> object:
    """What JSON cannot hold."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.tolist() if hasattr(value, "tolist") else str(value)


def main() -> None:
    """Answer the requests of stdin, a line each, on stdout."""
    for line in sys.stdin:
        asked = json.loads(line)
        assert asked["config"]["online_store"]["type"] in ("sqlite", "redis")
        store = FeatureStore(config=RepoConfig(**asked["config"]))
        answers = [answer(store, request) for request in asked["requests"]]
        print(json.dumps(answers, default=plain), flush=True)


main()
