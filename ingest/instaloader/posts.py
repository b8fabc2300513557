"""The events of a post: its content, of the time at which it was published, and its counts."""

from collections.abc import Callable, Iterator
from unicodedata import normalize

from ingest.instaloader.event_lines import count, event_line, microseconds
from ingest.instaloader.names import hashtags, mentions, unique, username_of
from ingest.instaloader.schema import Edges, Key, Post, TextNode, User
from ingest.instaloader.skipped import NotUsed

NO_SHORTCODE = "posts without a shortcode"
NO_OWNER = "posts without an owner"
OwnerName = Callable[[Key | None], str | None]
"""The username of an id, or of the profile whose folder it is; None where nothing names it."""


def post_events(post: Post, modified: int, image: str | None, owner_name: OwnerName) -> list[bytes]:
    """`post.created`, and `post.engagement` where both counts are known; raises NotUsed.

    Counts were read when the file was written, and bear its time. One count alone is part of
    `post.created`, since `post.engagement` states both.
    """
    app = post.iphone_struct or Post()
    post_id = post.shortcode or post.code or app.code
    if not post_id:
        raise NotUsed(NO_SHORTCODE)
    user_id = _owner(post, app, owner_name)
    counts = {"like_count": _likes(post, app), "comment_count": _comments(post, app)}
    known = {name: value for name, value in counts.items() if value is not None}
    content: dict[str, object] = {"post_id": post_id, "user_id": user_id, **_text(post, app)}
    if image is not None:
        content["image"] = image
    if len(known) == 1:
        content |= known
    time = _time(post, app)
    events = [event_line("post.created", modified if time is None else time, user_id, content)]
    if len(known) == len(counts):
        events.append(
            event_line("post.engagement", modified, user_id, {"post_id": post_id, **known})
        )
    return events


def _owner(post: Post, app: Post, owner_name: OwnerName) -> str:
    owners = [user for user in (post.owner, post.user, app.user) if user is not None]
    for owner in owners:
        if owner.username and (name := username_of(owner.username)):
            return name
    key = next((owner.id or owner.pk for owner in owners if owner.id or owner.pk), None)
    name = owner_name(key) or (None if key is None else str(key))
    if name is None:
        raise NotUsed(NO_OWNER)
    return name


def _text(post: Post, app: Post) -> dict[str, object]:
    caption = _caption(post, app)
    tagged = [username_of(user.username or "") for user in _tagged(post, app)]
    return {
        "caption": caption,
        "hashtags": hashtags(caption),
        "mentions": unique([*mentions(caption), *(name for name in tagged if name)]),
    }


def _caption(post: Post, app: Post) -> str:
    if post.edge_media_to_caption and post.edge_media_to_caption.edges:
        node = post.edge_media_to_caption.edges[0].node
        if node is not None and node.text is not None:
            return normalize("NFC", node.text)
    for caption in (post.caption, app.caption):
        text = caption.text if isinstance(caption, TextNode) else caption
        if text is not None:
            return normalize("NFC", text)
    return ""


def _tagged(post: Post, app: Post) -> Iterator[User]:
    if post.edge_media_to_tagged_user and post.edge_media_to_tagged_user.edges:
        tags = [edge.node for edge in post.edge_media_to_tagged_user.edges]
    else:
        found = post.usertags or app.usertags
        tags = [*((found.tags if found else None) or [])]
    yield from (tag.user for tag in tags if tag is not None and tag.user is not None)


def _likes(post: Post, app: Post) -> int | None:
    return count(
        _number(post.edge_media_preview_like),
        _number(post.edge_liked_by),
        post.like_count,
        app.like_count,
    )


def _comments(post: Post, app: Post) -> int | None:
    comments = post.comments
    return count(
        _number(post.edge_media_to_comment),
        _number(post.edge_media_to_parent_comment),
        comments.count if isinstance(comments, Edges) else comments,
        post.comment_count,
        app.comment_count,
    )


def _number(edges: Edges | None) -> float | None:
    return None if edges is None else edges.count


def _time(post: Post, app: Post) -> int | None:
    for seconds in (post.date, post.taken_at_timestamp, post.taken_at, app.taken_at):
        if (time := microseconds(seconds)) is not None:
            return time
    return None
