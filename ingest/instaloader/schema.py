"""What is read of the JSON that Instaloader and Instagram write; all other fields are ignored.

Instaloader keeps a structure as `{"node": {...}, "instaloader": {"version", "node_type"}}`. The
node is one of Instagram's web API (`edge_…` fields) or of its app's API (flat fields), or one of
the first that holds one of the second as `iphone_struct`. A list of follows is what scripts save
of `Profile.get_followers()`, or a file of Instagram's own data download (`string_list_data`).
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder

Number = int | float
Key = int | str


class TextNode(Struct, gc=False):
    """A caption."""

    text: str | None = None


class TextEdge(Struct, gc=False):
    """An edge to a caption."""

    node: TextNode | None = None


class TextEdges(Struct):
    """Edges to captions, of which the first is the caption."""

    edges: list[TextEdge] | None = None


class Edges(Struct):
    """Edges of which only the number is read."""

    count: Number | None = None


class User(Struct):
    """A user: a profile, the owner of a post, or one who is tagged in it."""

    id: Key | None = None
    pk: Key | None = None
    username: str | None = None
    full_name: str | None = None
    biography: str | None = None
    is_verified: bool | None = None
    edge_followed_by: Edges | None = None
    edge_follow: Edges | None = None
    edge_owner_to_timeline_media: Edges | None = None
    follower_count: Number | None = None
    following_count: Number | None = None
    media_count: Number | None = None
    iphone_struct: "User | None" = None


class Tag(Struct):
    """A user who is tagged in a picture."""

    user: User | None = None


class TagEdge(Struct):
    """An edge to a tag."""

    node: Tag | None = None


class TagEdges(Struct):
    """The tags of a post, in the web API."""

    edges: list[TagEdge] | None = None


class Tags(Struct, rename={"tags": "in"}):
    """The tags of a post, in the app's API."""

    tags: list[Tag] | None = None


class Post(Struct):
    """A post. `date` and `taken_at…` are seconds since 1970."""

    shortcode: str | None = None
    code: str | None = None
    owner: User | None = None
    user: User | None = None
    date: Number | None = None
    taken_at_timestamp: Number | None = None
    taken_at: Number | None = None
    edge_media_to_caption: TextEdges | None = None
    caption: str | TextNode | None = None
    edge_media_to_tagged_user: TagEdges | None = None
    usertags: Tags | None = None
    edge_media_preview_like: Edges | None = None
    edge_liked_by: Edges | None = None
    like_count: Number | None = None
    edge_media_to_comment: Edges | None = None
    edge_media_to_parent_comment: Edges | None = None
    comments: Number | Edges | None = None
    comment_count: Number | None = None
    iphone_struct: "Post | None" = None


class Origin(Struct):
    """What wrote a structure, and its kind."""

    node_type: str | None = None


class ListedText(Struct, gc=False):
    """One account in a data download of Instagram; `timestamp` are seconds since 1970."""

    value: str | None = None
    href: str | None = None
    timestamp: Number | None = None


class Listed(Struct):
    """One entry of a list of follows: of a data download, or a user."""

    title: str | None = None
    string_list_data: list[ListedText] | None = None
    username: str | None = None


Entry = str | Listed


class Document(Struct):
    """A JSON object: a structure of Instaloader, or a list of follows of a data download.

    Version 3 of Instaloader wrote the node of a post alone, which has a `shortcode`.
    """

    node: Raw = Raw()
    instaloader: Origin | None = None
    shortcode: str | None = None
    relationships_followers: list[Entry] | None = None
    relationships_following: list[Entry] | None = None


DOCUMENT: Decoder[Document | list[Entry]] = Decoder(Document | list[Entry])
POST: Decoder[Post] = Decoder(Post)
PROFILE: Decoder[User] = Decoder(User)
