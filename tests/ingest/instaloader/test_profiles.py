"""Profiles as Instaloader keeps them become events."""

from tests.ingest.instaloader.written import SAVED_TIME, Folder, crawl_of, events_of, lines_of


def test_a_profile_has_the_time_of_its_file(folder: Folder) -> None:
    folder.profile("ann", 1, biography="Oil\nand light")
    [event] = events_of(folder.path)
    assert (event["type"], event["time"], event["subject"]) == ("user.updated", SAVED_TIME, "ann")
    assert event["data"] == {
        "user_id": "ann",
        "username": "ann",
        "full_name": "Ann",
        "biography": "Oil\nand light",
        "follower_count": 30,
        "following_count": 20,
        "is_verified": False,
    }


def test_a_profile_of_the_app(folder: Folder) -> None:
    flat = {
        "pk": 1,
        "username": "Ann",
        "full_name": "Ann",
        "follower_count": 3,
        "following_count": 2,
        "media_count": 7,
        "is_verified": True,
    }
    folder.structure("ann/ann_1.json", "Profile", flat)
    nested = {"id": 2, "username": "bob", "iphone_struct": {**flat, "pk": 2, "username": "bob"}}
    folder.structure("bob/bob_2.json", "Profile", nested)
    ann, bob = (event["data"] for event in events_of(folder.path))
    assert (ann["follower_count"], ann["following_count"], ann["post_count"]) == (3, 2, 7)
    assert ann["is_verified"]
    assert ann | {"user_id": "bob", "username": "bob"} == bob


def test_absent_fields_stay_absent(folder: Folder) -> None:
    folder.structure("x.json", "Profile", {"id": "1", "username": "ann", "full_name": None})
    [event] = events_of(folder.path)
    assert event["data"] == {"user_id": "ann", "username": "ann"}


def test_a_profile_without_a_username_is_skipped(folder: Folder) -> None:
    folder.structure("x.json", "Profile", {"id": "1"})
    crawl = crawl_of(folder.path)
    assert lines_of(crawl) == []
    assert crawl.skipped.document() == {"profiles without a username": 1}
