"""The event of a profile."""

from unicodedata import normalize

from ingest.instaloader.event_lines import count, event_line
from ingest.instaloader.names import username_of
from ingest.instaloader.schema import Edges, User
from ingest.instaloader.skipped import NotUsed

NO_USERNAME = "profiles without a username"


def profile_events(profile: User, modified: int) -> list[bytes]:
    """`user.updated`, of the time at which the profile was saved; raises NotUsed."""
    app = profile.iphone_struct or User()
    user_id = username_of(profile.username or app.username or "")
    if user_id is None:
        raise NotUsed(NO_USERNAME)
    verified = profile.is_verified if profile.is_verified is not None else app.is_verified
    data = {
        "user_id": user_id,
        "username": user_id,
        "full_name": _text(profile.full_name, app.full_name),
        "biography": _text(profile.biography, app.biography),
        "follower_count": _count(
            profile.edge_followed_by, profile.follower_count, app.follower_count
        ),
        "following_count": _count(
            profile.edge_follow, profile.following_count, app.following_count
        ),
        "post_count": _count(
            profile.edge_owner_to_timeline_media, profile.media_count, app.media_count
        ),
        "is_verified": verified,
    }
    given = {name: value for name, value in data.items() if value is not None}
    return [event_line("user.updated", modified, user_id, given)]


def _count(edges: Edges | None, *flat: float | None) -> int | None:
    return count(edges.count if edges else None, *flat)


def _text(*candidates: str | None) -> str | None:
    for text in candidates:
        if text is not None:
            return normalize("NFC", text)
    return None
