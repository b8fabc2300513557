"""Reads image bytes from allowed locations (protection against path traversal and SSRF).

Files must be below the folder of the events that name them, or below one further root, after links
and `..` are resolved. Web addresses must have an allowed scheme and a public IP address; each
redirect is checked, and the connection uses the checked address.
"""

import ipaddress
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpcore

from graphdb.image_reference import FILE, folder_and_reference, scheme_of
from training.inputs.image_errors import (
    BROKEN_ANSWER,
    NOT_FOUND,
    ImageError,
    ImageRefused,
    ImageUnavailable,
)

MAX_REDIRECTS = 4
CHUNK_BYTES = 64 * 1024
HEADERS: list[tuple[bytes | str, bytes | str]] = [("User-Agent", "mmga"), ("Accept", "image/*")]
WEB_SCHEMES = frozenset({"http", "https"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})

ELSEWHERE = "~"

NAT64 = ipaddress.ip_network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.ip_network("2002::/16")


def is_public(address: str) -> bool:
    """Whether an IP address, or the IPv4 address that it embeds, is public."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in NAT64 or ip in SIX_TO_FOUR or ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSources:
    """Reads the bytes of images, which are paths in a folder, or URIs (`graphdb.image_reference`).

    A path is looked for in its own folder, then where that folder has `moved`, then in
    `media_root`. `schemes` are those allowed of `file`, `http`, `https`; plain paths count as
    `file`. `is_allowed` is called with each IP address before connecting. Images without a folder
    are those of the graph `graph_id`.
    """

    media_root: Path | None
    graph_id: str = ""
    moved: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    schemes: frozenset[str] = frozenset({FILE})
    max_bytes: int = 20 * 2**20
    timeout_seconds: float = 10.0
    is_allowed: Callable[[str], bool] = field(default=is_public)

    @property
    def policy(self) -> str:
        """What a refusal depends on beside the image."""
        return f"{sorted(self.schemes)} {self.max_bytes} {self.media_root}"

    def name(self, image: str) -> str:
        """The name under which an image is kept, wherever its folder lies now."""
        folder, reference = folder_and_reference(image)
        is_elsewhere = not folder and scheme_of(reference) == FILE
        return f"{self.graph_id}\0{reference}" if is_elsewhere else image

    def roots(self, folder: str) -> list[Path]:
        """The folders in which to look for a path of this folder, in that order."""
        own = [Path(folder), *self.moved.get(folder, ())] if folder else []
        return own if self.media_root is None else [*own, self.media_root]

    def stamp(self, image: str) -> str | None:
        """What changes with a file: its size and times; empty without a file, None on the web.

        Begins with ELSEWHERE for a file that is only below the media root.
        """
        folder, reference = folder_and_reference(image)
        if scheme_of(reference) != FILE:
            return None
        for root in self.roots(folder):
            try:
                found = (root / file_path(reference)).stat()
            except (OSError, ValueError, ImageRefused):
                continue
            place = ELSEWHERE if root == self.media_root else ""
            return f"{place}{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"
        return ""

    def read(self, image: str) -> bytes:
        """The bytes; raises ImageRefused or ImageUnavailable."""
        folder, reference = folder_and_reference(image)
        scheme = scheme_of(reference)
        if scheme not in self.schemes or scheme not in WEB_SCHEMES | {FILE}:
            raise ImageRefused("scheme not allowed")
        if scheme == FILE:
            return self.read_file(file_path(reference), self.roots(folder))
        return self.read_web(reference)

    def read_file(self, path: str, roots: Iterable[Path]) -> bytes:
        """A regular file below the first root that has it, no larger than allowed."""
        descriptor = open_below_any(roots, path)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > self.max_bytes:
                raise ImageRefused("too many bytes")
            # The file may grow while it is read.
            return self.bounded(iter(lambda: file.read(CHUNK_BYTES), b""), time.monotonic())

    def read_web(self, url: str) -> bytes:
        """The body of a GET; follows a few redirects, each checked like the first address."""
        backend = VettedNetwork(is_allowed=self.is_allowed)
        with httpcore.ConnectionPool(network_backend=backend) as pool:
            for _ in range(MAX_REDIRECTS + 1):
                target = self.vetted(url)
                content, location = self.get(pool, target)
                if content is not None:
                    return content
                url = urljoin(target, location)
        raise ImageRefused("too many redirects")

    def vetted(self, url: str) -> str:
        """The parsed address. Raises ImageRefused for its scheme or form."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise ImageRefused("address malformed") from error
        if parts.scheme.lower() not in self.schemes & WEB_SCHEMES:
            raise ImageRefused("scheme not allowed")
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise ImageRefused("address malformed")
        return parts._replace(fragment="").geturl()

    def get(self, pool: httpcore.ConnectionPool, url: str) -> tuple[bytes | None, str]:
        """(body, "") of one response, or (None, target of the redirect)."""
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_seconds)
        started = time.monotonic()
        try:
            with pool.stream(
                "GET", url, headers=HEADERS, extensions={"timeout": timeouts}
            ) as reply:
                if reply.status in REDIRECTS:
                    return None, header(reply, b"location")
                if reply.status in TRANSIENT:
                    raise ImageUnavailable("server busy")
                if reply.status != 200:
                    raise ImageRefused(NOT_FOUND)
                return self.bounded(reply.iter_stream(), started), ""
        except (httpcore.TimeoutException, httpcore.NetworkError) as error:
            raise ImageUnavailable("no answer") from error
        except httpcore.ProtocolError as error:
            raise ImageRefused(BROKEN_ANSWER) from error
        except (httpcore.UnsupportedProtocol, UnicodeError, ValueError, TypeError) as error:
            raise ImageRefused("address malformed") from error

    def bounded(self, chunks: Iterable[bytes], started: float) -> bytes:
        """All chunks, joined; an error if they are too large or too slow."""
        content = bytearray()
        for chunk in chunks:
            content += chunk
            if len(content) > self.max_bytes:
                raise ImageRefused("too many bytes")
            if time.monotonic() - started > 4 * self.timeout_seconds:
                raise ImageUnavailable("too slow")
        return bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class VettedNetwork(httpcore.NetworkBackend):
    """Connects to the IP address that was checked, so that DNS rebinding is not possible.

    The certificate is still checked against the host's name.
    """

    is_allowed: Callable[[str], bool]

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """A stream to the first address of the host, all of which must be allowed."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = [str(entry[4][0]) for entry in found]
        if not all(self.is_allowed(address) for address in addresses):
            raise ImageRefused("address not public")
        return httpcore.SyncBackend().connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )


def file_path(reference: str) -> str:
    """The path that a `file://` URI or a plain path names."""
    if not reference.lower().startswith("file://"):
        return reference
    parts = urlsplit(reference)
    if parts.netloc not in {"", "localhost"}:
        raise ImageRefused("not a local file")
    return unquote(parts.path)


def open_below_any(roots: Iterable[Path], path: str) -> int:
    """A descriptor of the file that `path` names below the first root that has it.

    Raises the error of the first root where none has it.
    """
    errors: list[ImageError] = []
    for root in roots:
        try:
            return open_below(root, path)
        except ImageError as error:
            errors.append(error)
    raise errors[0] if errors else ImageUnavailable("no media root")


def open_below(root: Path, path: str) -> int:
    """A descriptor of the file that `path`, links resolved, names below `root`.

    Folders are opened one by one without following links, so changes after the check cannot lead
    out of the root. The file is opened without blocking, so a FIFO cannot stall the reader.
    """
    if "\0" in path:
        raise ImageRefused("path malformed")
    try:
        if not root.is_dir():
            raise ImageUnavailable("folder not found")
        real_root = Path(os.path.realpath(root, strict=True))
        real = Path(os.path.realpath(real_root / path, strict=True))
    except FileNotFoundError as error:
        escapes = not Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root))
        raise (ImageRefused("outside the media root") if escapes else missing()) from error
    except PermissionError as error:
        raise ImageUnavailable("permission denied") from error
    except (OSError, ValueError) as error:
        raise ImageRefused("path malformed") from error
    if not real.is_relative_to(real_root) or real == real_root:
        raise ImageRefused("outside the media root")
    return open_step_by_step(real_root, real.relative_to(real_root))


def missing() -> ImageUnavailable:
    """A missing file is a temporary error: it may still be copied."""
    return ImageUnavailable("file not found")


def open_step_by_step(root: Path, relative: Path) -> int:
    """Open folder after folder below `root`, no link followed."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in relative.parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return regular(os.open(relative.name, flags, dir_fd=folder))
    except FileNotFoundError as error:
        raise missing() from error
    except PermissionError as error:
        raise ImageUnavailable("permission denied") from error
    except OSError as error:
        raise ImageRefused("not a regular file") from error
    finally:
        os.close(folder)


def regular(descriptor: int) -> int:
    """The descriptor. Raises ImageRefused if it is not a regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageRefused("not a regular file")
    return descriptor


def header(reply: httpcore.Response, name: bytes) -> str:
    """The value of a header of an answer; ImageRefused when there is none."""
    for key, value in reply.headers:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    raise ImageRefused(BROKEN_ANSWER)
