"""Ends a task that shows something live when nobody sees it any more or we are told to end."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

from uptui.errors import EndedError
from uptui.runtime.terminal_watch import HUNG_UP, TerminalWatch


@contextmanager
def shown_on(stdin: int, stdout: int, *, gone: int = HUNG_UP) -> Generator[TerminalWatch]:
    """The current task is cancelled when `stdout`, or the terminal `stdin`, is gone or a signal
    ends us; then this raises EndedError with the exit code, which is `gone` in the first case.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def cancel() -> None:
        if not watch.closed:
            task.cancel()

    def leave(code: int) -> None:
        del code
        with suppress(RuntimeError):  # the loop is closed: we are ending already
            loop.call_soon_threadsafe(cancel)

    watch = TerminalWatch(stdin, stdout, leave, gone=gone)
    try:
        with watch.listening():
            yield watch
    except asyncio.CancelledError as error:
        if watch.code is None:
            raise
        raise EndedError(watch.code) from error
    finally:
        watch.close()
