"""Decompress a log as a stream: gzip, bzip2, xz, zstd and zip, recognised by their first bytes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import zipfile

CHUNK = 2 * 2**20
"""Size of a decompressed chunk [bytes]."""

DEEPEST = 3
"""Compressions inside each other: a zip of gzipped files has 2."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([first]) + b"\x2a\x4d\x18": "zstd" for first in range(0x50, 0x60)},  # what pzstd writes first
    b"\x5d\x00\x00": "xz",  # .lzma, its predecessor
    **{b"\x78" + second: "gzip" for second in (b"\x01", b"\x9c", b"\xda")},  # zlib, without gzip's header
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}

_REFUSED = {
    b"\x1f\x9d": ("compress (.Z)", "zcat"),
    b"\x04\x22\x4d\x18": ("lz4", "lz4 -dc"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "7z x -so"),
    b"\xff\x06\x00\x00sNaPpY": ("snappy", "snzip -dc"),
    b"LZIP": ("lzip", "lzip -dc"),
    b"Rar!\x1a\x07": ("RAR", "unrar p -inul"),
}
"""First bytes of a compression that is not read → its name, and the command that reads it."""


class Damaged(Exception):
    """Compressed data that end early or are broken; the message is the reason."""


class Refused(Exception):
    """A form that is recognised but not read; the message says which it is and what to do (with `{name}`)."""


def is_compressed(head: bytes) -> bool:
    """Return whether a file with these first bytes is compressed."""
    return any(head.startswith(magic) for magic in (*_MAGIC, *_REFUSED)) or _is_tar(head)


def peek(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first bytes, at least `size` if there are as many, and all chunks again."""
    rest, head = iter(chunks), b""
    while len(head) < size and (chunk := next(rest, b"")):
        head += chunk
    return head, chain([head] if head else [], rest)


def decompressed(chunks: Iterable[bytes], depth: int = DEEPEST) -> Iterator[bytes]:
    """Yield the decompressed bytes of a log in chunks; a log that is not compressed stays as it is.

    Parameters
    ----------
    chunks : iterable of bytes
        The file, in chunks of any size.
    depth : int
        Maximum number of compressions inside each other.

    Raises
    ------
    Damaged
        If the data end early or are broken.
    Refused
        If the compression is recognised but not read.
    """
    head, chunks = peek(chunks, 512)
    for magic, (kind, command) in _REFUSED.items():
        if head.startswith(magic):
            raise Refused(
                f"is compressed as {kind}, which is not read: run {command} {{name}} | aurora-analysis digest -"
            )
    if _is_tar(head):
        raise Refused("is a tar archive, which is not read: run tar -xOf {name} | aurora-analysis digest -")
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if found is None or not depth:
        return chunks
    return decompressed(_UNPACK[found](chunks), depth - 1)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


class _Decompressor(Protocol):
    """The interface that the decompressors of bz2, lzma and compression.zstd share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor behind the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(47)  # gzip or zlib
        self._full = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        found = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self._full = len(found) == max_length
        return found


def _stream(new: Callable[[], _Decompressor]) -> Callable[[Iterable[bytes]], Iterator[bytes]]:
    """Return the decompressor of a stream of members, such as `cat a.gz b.gz` and Firehose write."""

    def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
        member, is_fresh = new(), True
        try:
            for chunk in chunks:
                data = chunk
                while data or not (is_fresh or member.needs_input):
                    if is_fresh and not (data := data.lstrip(b"\0")):  # padding between members
                        break
                    is_fresh = False
                    if found := member.decompress(data, CHUNK):
                        yield found
                    data = b""
                    if member.eof:
                        data, member, is_fresh = member.unused_data, new(), True
        except Exception as problem:  # zlib.error, lzma.LZMAError, OSError: each library has its own
            if isinstance(problem, OSError) and problem.errno is not None:
                raise
            raise Damaged(str(problem)) from None
        if not is_fresh:
            raise Damaged("the compressed data end early")

    return unpacked


def _bzip2(chunks: Iterable[bytes]) -> Iterator[bytes]:
    from bz2 import BZ2Decompressor

    return _stream(BZ2Decompressor)(chunks)


def _xz(chunks: Iterable[bytes]) -> Iterator[bytes]:
    from lzma import LZMADecompressor

    return _stream(LZMADecompressor)(chunks)


_ENCRYPTED = 0x1
"""The bit of a zip member's flags that stands for a password."""


def _unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the files of a zip archive one after the other, in the archive's order.

    An archive's directory is at its end, so the archive is first copied to a temporary file.
    """
    import tempfile
    import zipfile

    with tempfile.TemporaryFile() as archive:
        for chunk in chunks:
            archive.write(chunk)
        try:
            with zipfile.ZipFile(archive) as packed:
                if "[Content_Types].xml" in packed.namelist():
                    raise Refused("is an Office document, which is not read: save its sheet as CSV")
                for member in packed.infolist():
                    is_hidden = member.filename.startswith("__MACOSX/") or "/." in f"/{member.filename}"
                    if member.flag_bits & _ENCRYPTED:
                        raise Refused(
                            "is a zip archive with a password, which is not read: unpack it, and read its files"
                        )
                    if not (member.is_dir() or is_hidden):
                        yield from _member(packed, member)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as problem:
            raise Damaged(str(problem)) from None


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    last = b""
    with packed.open(member) as file:
        for chunk in decompressed(iter(lambda: file.read(CHUNK), b""), 1):
            last = chunk
            yield chunk
    if last and not last.endswith(b"\n"):
        yield b"\n"


def _zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress zstd: by the standard library since Python 3.14, before by a child process with pyarrow."""
    try:
        from compression.zstd import ZstdDecompressor  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return _by_child(chunks)
    return _stream(ZstdDecompressor)(chunks)


_CHILD = """
import shutil, sys, pyarrow
try:
    shutil.copyfileobj(pyarrow.CompressedInputStream(sys.stdin.buffer, "zstd"), sys.stdout.buffer, 2**20)
except OSError as problem:
    sys.exit(str(problem))
"""
"""pyarrow takes more memory than all of `ingest`, so that a process of its own imports it."""


def _by_child(chunks: Iterable[bytes]) -> Iterator[bytes]:
    import subprocess
    import threading

    command = [sys.executable, "-c", _CHILD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        feeder = threading.Thread(target=_feed, args=(child.stdin, chunks), daemon=True)
        feeder.start()
        output: Any = child.stdout
        try:
            while found := output.read(CHUNK):
                yield found
        except GeneratorExit:
            child.kill()
            raise
        feeder.join()
        errors: Any = child.stderr
        reason = errors.read().decode("utf-8", "replace").strip()
        if child.wait():
            raise Damaged(reason.splitlines()[-1] if reason else "the compressed data are broken")


def _feed(pipe: IO[bytes] | None, chunks: Iterable[bytes]) -> None:
    assert pipe is not None
    try:
        for chunk in chunks:
            pipe.write(chunk)
        pipe.close()
    except OSError:  # the child ended first, with its own message
        return


_UNPACK: dict[str, Callable[[Iterable[bytes]], Iterator[bytes]]] = {
    "gzip": _stream(_Gzip),
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
    "zip": _unzipped,
}
