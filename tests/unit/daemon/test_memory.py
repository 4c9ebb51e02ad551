"""What was saved comes back; what an older daemon saved is mended or ends, and is on record."""

from pathlib import Path

from tests.unit.access.builders import NOW, of_kind, share
from uptui.core.events import Record
from uptui.core.share_state import ShareSettings
from uptui.host.storage.documents import Memory
from uptui.host.storage.state_directory import StateDir
from uptui.protocol.host_api import NewInvite
from uptui.protocol.names import Fingerprint

IDENTITY = Fingerprint("SHA256:me")


def test_both_halves_are_kept_and_private(tmp_path: Path) -> None:
    memory = Memory(StateDir(tmp_path), IDENTITY)
    made = share()
    invite = made.invite(NewInvite(name="bob"), NOW)
    memory.save(made, "session")
    memory.save(made, "invites")
    assert (tmp_path / "invites.json").stat().st_mode & 0o777 == 0o600
    again = memory.load(ShareSettings(), NOW)
    assert again.state.invites.all() == [invite]
    assert again.state.address == made.state.address


def test_invites_without_a_secret_end_and_are_on_record(tmp_path: Path) -> None:
    old = "inv-" + "a" * 26
    (tmp_path / "invites.json").write_text(
        f'{{"version": 1, "invites": [{{"route": "{old}", "name": "bob", "role": "pair", '
        f'"landing": "shell", "created_at": {NOW}}}]}}'
    )
    (tmp_path / "session.json").write_text(
        f'{{"version": 1, "address": {{"token": "{"b" * 26}", "rotated_at": {NOW}}}}}'
    )
    memory = Memory(StateDir(tmp_path), IDENTITY)
    made = memory.load(ShareSettings(), NOW)
    assert made.routes(NOW) == []
    assert len(made.state.address.secret) == 26
    (record,) = of_kind(made.drain(), Record)
    assert record.event == "invites.dropped"
    memory.save(made, "session")
    assert memory.load(ShareSettings(), NOW).state.address == made.state.address
