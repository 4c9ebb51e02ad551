"""Schemathesis over the running relay: the API keeps to its own OpenAPI document."""

import asyncio
import sys
from pathlib import Path

from tests.network.relay_api.conftest import ServeApi

CONFIG = """
[checks]
# A key or a name may have the right type and still be none: 422 says so.
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 422]
"""


async def test_the_api_keeps_to_its_document(serve: ServeApi, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    async with serve(requests_per_minute=1_000_000, logins_per_minute=1_000_000) as api:
        await api.client.put("/v1/accounts/examiner", json={}, headers=api.admin)
        wish = {"account": "examiner", "scopes": ["admin", "aliases"]}
        issued = await api.client.put("/v1/tokens/examiner", json=wish, headers=api.admin)
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(config), "run", f"{api.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {issued.json()['secret']}"),
            *("--exclude-path", "/v1/restore"),
            *("--max-examples", "6", "--seed", "5", "--no-color"),
            *("--phases", "examples,coverage,fuzzing,stateful"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-8000:]
