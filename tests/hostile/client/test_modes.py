"""What the daemon was started with decides the mode of every new file, whoever makes it and how."""

import subprocess
from pathlib import Path

from tests.network.people.conftest import Crowd

CAREFUL = ("/bin/sh", "-c", 'umask 077; exec "$@"', "sh")


def test_a_careful_umask_holds_for_commands_terminals_and_files(
    crowd: Crowd, tmp_path: Path
) -> None:
    crowd.under = CAREFUL
    string = crowd.accept()["ssh"]
    assert crowd.as_ssh("alice", string, f"umask; touch {tmp_path}/a").stdout == "0077\n"
    window = crowd.window("alice", string, f"touch {tmp_path}/b")
    assert window.ends() == 0
    sftp = crowd.as_argv("alice", string.replace("ssh -p", "sftp -P", 1))
    (tmp_path / "batch").write_text(f"put {tmp_path}/source {tmp_path}/c\n")
    (tmp_path / "source").touch(0o644)
    done = subprocess.run([*sftp[:-1], "-b", str(tmp_path / "batch"), sftp[-1]], check=False)
    assert done.returncode == 0
    for name in "abc":
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600, name
