"""What clients do to files besides moving their contents is on record, once each."""

import os

from tests.network.files.host import Running
from uptui.host.sshd.files.transfers import SHOWN_EVERY


def changes(box: Running) -> list[str]:
    """What is on record of changes, with the directory shortened."""
    return [note.text.replace(str(box.directory), "~") for note in box.gate.events("file.change")]


async def test_each_change_by_sftp_says_what_was_done_to_which_file(box: Running) -> None:
    d = box.directory
    (d / "f").write_text("contents")
    owner = f"{os.getuid()}:{os.getgid()}"
    commands = (
        "mkdir {d}/dir", "rename {d}/f {d}/dir/g", "ln {d}/dir/g {d}/hard", "ln -s g {d}/dir/soft",
        "chmod 600 {d}/dir/g", f"chown {os.getuid()} {{d}}/dir/g", "rm {d}/hard",
        "rm {d}/dir/soft", "rm {d}/dir/g", "rmdir {d}/dir",
    )  # fmt: skip
    result = await box.sftp(*(command.format(d=d) for command in commands))
    assert result.code == 0, result.err
    assert changes(box) == [
        "made directory ~/dir", "renamed ~/f to ~/dir/g", "linked ~/hard to ~/dir/g",
        "linked ~/dir/soft to g", "set mode 0600 of ~/dir/g", f"set owner {owner} of ~/dir/g",
        "removed ~/hard", "removed ~/dir/soft", "removed ~/dir/g", "removed directory ~/dir",
    ]  # fmt: skip
    removed = box.gate.events("file.change")[-2]
    assert removed.data["path"] == str(d / "dir/g")


async def test_what_fails_changes_nothing_on_record(box: Running) -> None:
    d = box.directory
    (d / "full").mkdir()
    (d / "full/f").touch()
    await box.sftp(f"-rm {d}/none", f"-rmdir {d}/full", f"-rename {d}/none {d}/x", f"-mkdir {d}")
    assert changes(box) == []


async def test_a_copy_is_no_change_of_its_own(box: Running) -> None:
    (box.directory / "f").write_text("contents")
    (box.directory / "f").chmod(0o640)
    result = await box.sftp(f"put -p {box.directory}/f {box.directory}/g")
    assert result.code == 0, result.err
    assert changes(box) == []
    assert [note.data["path"] for note in box.gate.events("file.upload")] == [f"{box.directory}/g"]


async def test_files_that_cannot_be_opened_are_on_record_once(box: Running) -> None:
    d = box.directory
    (d / "f").write_text("contents")
    await box.sftp(f"-put {d}/f {d}/none/f", f"-put {d}/f {d}/none/f")
    [note] = box.gate.events("file.failed")
    assert note.text == f"cannot open {d}/none/f: No such file or directory"
    assert note.level == "warning"


async def test_who_transfers_a_file_is_at_work_until_it_is_there(box: Running) -> None:
    async with box.asyncssh_sftp() as sftp:
        [guest] = box.gate.guests
        assert not guest.presence().busy
        async with sftp.open(f"{box.directory}/f", "wb") as file:
            await file.write(bytes(SHOWN_EVERY))
            assert guest.presence().busy
        assert not guest.presence().busy
