"""Reads the answer of a stranger's web server: bounded in bytes and time, never decompressed."""

import asyncio
from typing import Any, Final

import httpx

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of the body of one answer."""
FETCH_TIMEOUT: Final = 10.0
"""Seconds for one answer from the first packet to the last."""


class AnswerError(Exception):
    """The answer is none that we take; the text says why."""


async def fetch(
    client: httpx.AsyncClient, method: str, url: str, limit: int = MAX_ANSWER, **options: Any
) -> httpx.Response:
    """The whole answer. Raises AnswerError, TimeoutError, and what httpx raises."""
    options["headers"] = {"accept-encoding": "identity", **options.get("headers", {})}
    async with asyncio.timeout(FETCH_TIMEOUT), client.stream(method, url, **options) as response:
        coding = response.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise AnswerError("the answer is compressed, although that was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise AnswerError(f"the answer has more than {limit} bytes")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            content=bytes(body),
            request=response.request,
            extensions=response.extensions,
        )
