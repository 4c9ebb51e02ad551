"""Runs what blocks in a thread of its own; the end of the process waits for none of them."""

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], over: Callable[[], None], name: str) -> "asyncio.Future[T]":
    """The result of `work`, done in a thread of its own that is called `name`.

    `over` is called in the loop at its end, also when the future was cancelled long before. The
    future's error is OSError (EAGAIN) when the machine has no thread left.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        over()
        if future.done():
            return
        if error is None:
            future.set_result(result)  # pyright: ignore[reportArgumentType] - then it is a T
        else:
            future.set_exception(error)

    def run() -> None:
        result, problem = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is the future's
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, problem)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        loop.call_soon(settle, None, OSError(errno.EAGAIN, "no thread can be started"))
    return future
