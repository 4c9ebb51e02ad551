"""Lets the C library keep what bulk transfers free, for the next piece, where it is glibc.

Each piece of half a megabyte is freed before the next one is made. glibc by itself hands such
memory back to the kernel, which clears it page by page when it is wanted again: that takes longer
than encrypting what is put into it.
"""

from typing import Final

KEPT: Final = 16 * 1024 * 1024
"""Free bytes at the end of the heap above which they are handed back."""
LARGEST: Final = 4 * 1024 * 1024
"""Bytes of one piece from which on it does not come from the heap."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed() -> bool:
    """For this process, from now on; False where the library knows no such thing (mallopt(3))."""
    try:
        import ctypes  # Python may have been built without it

        library = ctypes.CDLL(None)
    except (ImportError, OSError):
        return False
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    set_option = library.mallopt
    return bool(set_option(_M_TRIM_THRESHOLD, KEPT) and set_option(_M_MMAP_THRESHOLD, LARGEST))
