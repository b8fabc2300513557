import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from graphdb.image_reference import image_in, scheme_of
from training.inputs.image_errors import ImageRefused, ImageUnavailable
from training.inputs.image_sources import (
    ImageSources,
    VettedNetwork,
    is_public,
    open_below,
)

# --- files ---


@pytest.fixture
def root(tmp_path):
    (tmp_path / "media" / "deep").mkdir(parents=True)
    (tmp_path / "media" / "deep" / "a b.jpg").write_bytes(b"inside")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "media-other").mkdir()
    (tmp_path / "media-other" / "c.jpg").write_bytes(b"secret")
    return tmp_path / "media"


def files(root, **options):
    return ImageSources(media_root=root, **options)


def test_a_file_below_the_root_is_read_by_path_and_by_uri(root):
    sources = files(root)
    assert sources.read("deep/a b.jpg") == b"inside"
    assert sources.read("./deep/../deep/a b.jpg") == b"inside"
    assert sources.read(str(root / "deep" / "a b.jpg")) == b"inside"
    assert sources.read((root / "deep" / "a b.jpg").as_uri()) == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "deep/../../secret.jpg",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:///..%2f..%2fetc/passwd",
        "../media-other/c.jpg",
        "../not-there.jpg",
        ".",
        "",
    ],
)
def test_nothing_outside_the_root_is_read(root, path):
    with pytest.raises(ImageRefused, match="outside the media root"):
        files(root).read(path)


def test_links_that_lead_out_are_refused_and_links_that_stay_are_followed(root):
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "folder").symlink_to(root.parent / "media-other")
    (root / "in.jpg").symlink_to(root / "deep" / "a b.jpg")
    (root / "loop").symlink_to(root / "loop")
    for path in ("out.jpg", "folder/c.jpg"):
        with pytest.raises(ImageRefused, match="outside the media root"):
            files(root).read(path)
    with pytest.raises(ImageRefused, match="path malformed"):
        files(root).read("loop")
    assert files(root).read("in.jpg") == b"inside"


def test_a_root_that_is_a_link_itself_works(root):
    link = root.parent / "link"
    link.symlink_to(root)
    assert files(link).read("deep/a b.jpg") == b"inside"


def test_a_folder_swapped_for_a_link_after_the_check_is_not_followed(root, monkeypatch):
    (root / "swap").mkdir()
    (root / "swap" / "c.jpg").write_bytes(b"inside")
    real_open = os.open

    def swap_then_open(path, flags, *arguments, **options):
        if path == "swap" and not (root / "swap").is_symlink():
            (root / "swap").rename(root / "gone")
            (root / "swap").symlink_to(root.parent / "media-other")
        return real_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", swap_then_open)
    with pytest.raises(ImageRefused):
        open_below(root, "swap/c.jpg")


def test_only_regular_files_are_read_and_a_fifo_does_not_hold_it_up(root):
    os.mkfifo(root / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(root / "sock"))
    for name in ("pipe", "deep", "sock"):
        started = time.monotonic()
        with pytest.raises(ImageRefused, match="not a regular file"):
            files(root).read(name)
        assert time.monotonic() - started < 1
    server.close()


def test_too_many_bytes_are_refused_and_a_missing_file_is_waited_for(root):
    with pytest.raises(ImageRefused, match="too many bytes"):
        files(root, max_bytes=5).read("deep/a b.jpg")
    with pytest.raises(ImageUnavailable, match="file not found"):
        files(root).read("deep/none.jpg")
    with pytest.raises(ImageUnavailable, match="no media root"):
        files(None).read("deep/none.jpg")
    with pytest.raises(ImageUnavailable, match="folder not found"):
        files(root / "not-yet").read("a.jpg")


@pytest.fixture
def folders(tmp_path):
    """Three folders with a picture of one name each."""
    made = [tmp_path / name for name in ("own", "moved", "further")]
    for folder in made:
        folder.mkdir()
        (folder / "a.jpg").write_bytes(folder.name.encode())
    return made


def test_a_path_is_looked_for_in_its_own_folder_then_where_that_moved_then_in_the_root(folders):
    own, moved, further = folders
    sources = files(further, moved={str(own): (moved,)})
    image = image_in(str(own), "a.jpg")
    stamps = set()
    for folder in folders:
        assert sources.read(image) == folder.name.encode()
        stamps.add(sources.stamp(image))
        (folder / "a.jpg").unlink()
    assert len(stamps) == 3
    assert sources.stamp(image) == ""
    with pytest.raises(ImageUnavailable, match="file not found"):
        sources.read(image)
    own.rmdir()
    with pytest.raises(ImageUnavailable, match="folder not found"):
        sources.read(image)


def test_an_image_is_looked_for_in_no_folder_but_its_own(folders):
    own, other, _ = folders
    (own / "a.jpg").unlink()
    with pytest.raises(ImageUnavailable, match="file not found"):
        files(None, moved={str(own / "deep"): (other,)}).read(image_in(str(own), "a.jpg"))


def test_nothing_outside_its_own_folder_is_read(folders):
    own, other, _ = folders
    for reference in ("../moved/a.jpg", str(other / "a.jpg"), f"{other}/./a.jpg"):
        with pytest.raises(ImageRefused, match="outside the media root"):
            files(None).read(image_in(str(own), reference))
    with pytest.raises(ImageUnavailable, match="no media root"):
        files(None).read(image_in("", f"{other}/./a.jpg"))


def test_a_path_without_a_folder_is_another_image_in_each_graph(folders):
    names = {files(None, graph_id=graph_id).name("a.jpg") for graph_id in ("g1", "g2")}
    assert len(names) == 2
    for image in (image_in(str(folders[0]), "a.jpg"), "https://example.com/a.jpg"):
        assert files(None, graph_id="g1").name(image) == image


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\udcff.jpg"])
def test_a_path_that_cannot_be_one_is_an_image_error(root, path):
    with pytest.raises((ImageRefused, ImageUnavailable)):
        files(root).read(path)


@pytest.mark.parametrize(
    "reference",
    ["http://example.com/a.jpg", "HTTPS://example.com/a", "ftp://h/a", "gopher://h/1", "data://x"],
)
def test_schemes_that_the_settings_do_not_allow_are_refused(root, reference):
    with pytest.raises(ImageRefused, match="scheme not allowed"):
        files(root).read(reference)


def test_a_plain_path_may_hold_colons(root):
    (root / "12:30.jpg").write_bytes(b"noon")
    assert scheme_of("12:30.jpg") == "file"
    assert files(root).read("12:30.jpg") == b"noon"


def test_a_remote_file_uri_is_refused(root):
    with pytest.raises(ImageRefused, match="not a local file"):
        files(root).read("file://server/share/a.jpg")


# --- the web ---


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_addresses_that_are_not_of_the_open_internet(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_of_the_open_internet(address):
    assert is_public(address)


class Site(BaseHTTPRequestHandler):
    """A small site with every misbehaviour."""

    def do_GET(self):
        self.server.paths.append(self.path)
        redirects = {
            "/hop": "/image",
            "/loop": "/loop",
            "/to-file": "file:///etc/passwd",
            "/to-private": f"http://127.0.0.2:{self.server.server_port}/image",
            "/to-user": f"http://me:pw@localhost:{self.server.server_port}/image",
        }
        if self.path in redirects:
            self.send_response(302)
            self.send_header("Location", redirects[self.path])
            self.end_headers()
        elif self.path == "/image":
            self.reply(200, b"picture")
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(65536))
            except OSError:
                self.server.hung_up.set()
        elif self.path == "/silent":
            time.sleep(1.5)
        elif self.path == "/nowhere":
            self.send_response(302)
            self.end_headers()
        else:
            self.reply(int(self.path[1:]), b"")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.paths = []
    server.hung_up = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def web(site, **options):
    options = {"is_allowed": lambda address: address in ("127.0.0.1", "::1")} | options
    schemes = frozenset({"http", "file"})
    return ImageSources(media_root=None, schemes=schemes, timeout_seconds=0.4, **options)


def url(site, path):
    return f"http://localhost:{site.server_port}{path}"


def test_an_image_is_read_from_the_web_through_a_redirect(site):
    assert web(site).read(url(site, "/image")) == b"picture"
    assert web(site).read(url(site, "/hop")) == b"picture"


@pytest.mark.parametrize("path", ["/image", "/hop"])
def test_a_private_address_is_never_asked(site, path):
    site.paths.clear()
    with pytest.raises(ImageRefused, match="address not public"):
        web(site, is_allowed=is_public).read(url(site, path))
    assert site.paths == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/to-private", "address not public"),
        ("/to-file", "scheme not allowed"),
        ("/to-user", "address malformed"),
        ("/loop", "too many redirects"),
        ("/nowhere", "broken answer"),
        ("/404", "not found"),
        ("/410", "not found"),
    ],
)
def test_what_is_refused_for_good(site, path, reason):
    with pytest.raises(ImageRefused, match=reason):
        web(site).read(url(site, path))


@pytest.mark.parametrize("path", ["/503", "/429", "/silent"])
def test_what_may_work_later(site, path):
    with pytest.raises(ImageUnavailable):
        web(site).read(url(site, path))


def test_an_endless_answer_is_cut_at_the_cap(site):
    with pytest.raises(ImageRefused, match="too many bytes"):
        web(site, max_bytes=1_000_000).read(url(site, "/endless"))
    assert site.hung_up.wait(5)


def test_nobody_there_may_be_there_later():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ImageUnavailable, match="no answer"):
            web(None).read(f"http://127.0.0.1:{unused.getsockname()[1]}/a")


@pytest.mark.parametrize("address", ["http://", "http://[::1", "http://h:99999/", "http:///a"])
def test_malformed_addresses(address):
    with pytest.raises((ImageRefused, ImageUnavailable)):
        web(None).read(address)


def test_the_address_that_was_judged_is_the_one_connected_to(site, monkeypatch):
    """A name server that answers differently the second time leads nowhere."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.2"])
    asked = []
    real = socket.getaddrinfo

    def rebinding(host, port, *arguments, **options):
        if host != "rebind.test":
            return real(host, port, *arguments, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    network = VettedNetwork(is_allowed=lambda address: address == "127.0.0.1")
    stream = network.connect_tcp("rebind.test", site.server_port, timeout=1)
    assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
    assert asked == ["rebind.test"]
    stream.close()


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch):
    entries = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("93.184.216.34", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: entries)
    with pytest.raises(ImageRefused, match="address not public"):
        VettedNetwork(is_allowed=is_public).connect_tcp("mixed.test", 80)
