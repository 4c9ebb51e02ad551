"""Which files a shell's word means: `~`, `*`, `?` and `[...]`, within a RootedFs.

Blocks on the file system; sorted by bytes, hidden names only for patterns that begin with a dot.
"""

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Final

from uptui.host.sshd.files.rooted_fs import RootedFs
from uptui.host.sshd.files.shell_words import WILDCARDS, Word, text

MAX_MATCHES: Final = 100_000
"""Names that one word may stand for; a shell's arguments are limited, too."""


def paths(tree: RootedFs, word: Word) -> list[bytes]:
    """At least one: a pattern that nothing matches stands for itself. Raises OSError."""
    word = _without_tilde(tree, word)
    plain = os.fsencode(text(word))
    if not _wild(word):
        return [plain]
    return _matches(tree, word) or [plain]


def unmatched_only(tree: RootedFs, word: Word) -> list[bytes]:
    """The path that a word means to those who may not see names. Raises OSError."""
    return [os.fsencode(text(_without_tilde(tree, word)))]


def _without_tilde(tree: RootedFs, word: Word) -> Word:
    """Raises FileNotFoundError for an unknown user."""
    size = next((at for at, (character, _) in enumerate(word) if character == "/"), len(word))
    user = word[:size]
    if not user or user[0][0] != "~" or not all(bare for _, bare in user):
        return word
    home = os.fsdecode(tree.expand(os.fsencode(text(user))))
    return (*((character, False) for character in home), *word[size:])


def _wild(word: Word) -> bool:
    return any(bare and character in WILDCARDS for character, bare in word)


def _matches(tree: RootedFs, word: Word) -> list[bytes]:
    components = _components(word)
    found = [b""]
    for number, component in enumerate(components):
        last = number == len(components) - 1
        if _wild(component):
            found = list(_bounded(_listed(tree, found, component, last=last)))
        else:
            tail = os.fsencode(text(component)) + (b"" if last else b"/")
            found = [head + tail for head in found]
    if not _wild(components[-1]):
        found = [path for path in found if _exists(tree, path)]
    return found


def _components(word: Word) -> list[Word]:
    parts: list[list[tuple[str, bool]]] = [[]]
    for character, bare in word:
        if character == "/":
            parts.append([])
        else:
            parts[-1].append((character, bare))
    return [tuple(part) for part in parts]


def _listed(
    tree: RootedFs, directories: Iterable[bytes], pattern: Word, *, last: bool
) -> Iterator[bytes]:
    """Paths in these directories; only directories themselves where more components follow."""
    matcher = _matcher(pattern)
    hidden = pattern[0][0] == "."
    for directory in directories:
        for name in _names(tree, directory or b"."):
            path = directory + name
            if (hidden or name[:1] != b".") and matcher.match(os.fsdecode(name)):
                if last:
                    yield path
                elif _is_directory(tree, path):
                    yield path + b"/"


def _matcher(pattern: Word) -> re.Pattern[str]:
    quoted = "".join(
        f"[{character}]" if not bare and character in WILDCARDS else character
        for character, bare in pattern
    )
    return re.compile(fnmatch.translate(quoted.replace("[^", "[!")))


def _bounded(found: Iterator[bytes]) -> Iterator[bytes]:
    for number, path in enumerate(found):
        if number >= MAX_MATCHES:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        yield path


def _names(tree: RootedFs, directory: bytes) -> list[bytes]:
    """Sorted; none where it cannot be read, as in a shell."""
    try:
        with tree.at(directory) as place:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            flags |= 0 if place.follow else os.O_NOFOLLOW
            fd = os.open(place.name, flags, dir_fd=place.fd)
            try:
                with os.scandir(fd) as entries:
                    names = (os.fsencode(entry.name) for entry in entries)
                    return sorted(_bounded(names))
            finally:
                os.close(fd)
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise
        return []


def _is_directory(tree: RootedFs, path: bytes) -> bool:
    try:
        with tree.at(path) as place:
            st = os.stat(place.name, dir_fd=place.fd, follow_symlinks=place.follow)
    except OSError:
        return False
    return stat.S_ISDIR(st.st_mode)


def _exists(tree: RootedFs, path: bytes) -> bool:
    try:
        with tree.at(path, follow=False) as place:
            os.stat(place.name, dir_fd=place.fd, follow_symlinks=False)
    except OSError:
        return False
    return True
