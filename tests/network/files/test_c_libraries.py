"""Clients built on libssh and libssh2, each in a process of its own as their users run them."""

import os
import sys
from pathlib import Path

import pytest

from tests.network.files.host import Running

DATA = os.urandom(1_048_583)
COMMAND = "printf out; printf err >&2; exit 7"

LIBSSH = """
import sys
from pylibsshext.session import Session
port, key, known, command, up, there, down = sys.argv[1:]
session = Session()
session.connect(
    host="127.0.0.1", port=int(port), user="someone", private_key=open(key, "rb").read(),
    knownhosts=known, look_for_keys=False,
)
ran = session.new_channel().exec_command(command)
print(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
sftp = session.sftp()
sftp.put(up, there)
sftp.get(there, down)
sftp.close()
session.close()
"""
LIBSSH2 = """
import socket, sys
from ssh2.session import Session
from ssh2.sftp import LIBSSH2_FXF_CREAT, LIBSSH2_FXF_READ, LIBSSH2_FXF_WRITE
port, key, known, command, up, there, down = sys.argv[1:]
session = Session()
session.handshake(socket.create_connection(("127.0.0.1", int(port))))
session.userauth_publickey_fromfile("someone", key)
channel = session.open_session()
channel.execute(command)
out, err = channel.read()[1], channel.read_stderr()[1]
channel.wait_eof()
channel.close()
channel.wait_closed()
print(channel.get_exit_status(), out.decode(), err.decode())
sftp = session.sftp_init()
with open(up, "rb") as file, sftp.open(there, LIBSSH2_FXF_CREAT | LIBSSH2_FXF_WRITE, 0o640) as to:
    to.write(file.read())
with open(down, "wb") as file, sftp.open(there, LIBSSH2_FXF_READ, 0) as source:
    for _, piece in source:
        file.write(piece)
session.disconnect()
"""
LIBSSH_SYMLINK = """
import ctypes, glob, os, sys
import pylibsshext
from ctypes import c_char_p, c_int, c_void_p
port, key, known, target, link = (argument.encode() for argument in sys.argv[1:])
libraries = os.path.join(os.path.dirname(os.path.dirname(pylibsshext.__file__)), "*.libs")
(path,) = glob.glob(os.path.join(libraries, "libssh-*.so*"))
lib = ctypes.CDLL(path)
lib.ssh_new.restype = lib.sftp_new.restype = c_void_p
session = c_void_p(lib.ssh_new())
HOST, PORT, USER, IDENTITY, KNOWN_HOSTS = 0, 2, 4, 6, 8  # enum ssh_options_e
options = {HOST: b"127.0.0.1", PORT: port, USER: b"someone", IDENTITY: key, KNOWN_HOSTS: known}
for option, value in options.items():
    assert lib.ssh_options_set(session, option, c_char_p(value)) == 0
assert lib.ssh_connect(session) == 0
assert lib.ssh_userauth_publickey_auto(session, None, None) == 0
sftp = c_void_p(lib.sftp_new(session))
assert lib.sftp_init(sftp) == 0
assert lib.sftp_symlink(sftp, c_char_p(target), c_char_p(link)) == 0
"""


async def test_libssh_has_a_links_target_where_it_wants_it(box: Running) -> None:
    """It sends the two in the draft's order, unless it can read a version of OpenSSH's."""
    link = box.directory / "link"
    await box.ok(
        sys.executable, "-c", LIBSSH_SYMLINK, str(box.port), box.key,
        box.directory / "known_hosts", "target", link,
    )  # fmt: skip
    assert link.readlink() == Path("target")


@pytest.mark.parametrize("program", [LIBSSH, LIBSSH2], ids=["libssh", "libssh2"])
async def test_a_command_and_a_file_both_ways(box: Running, program: str) -> None:
    d = box.directory
    (d / "up").write_bytes(DATA)
    out = await box.ok(
        sys.executable, "-c", program, str(box.port), box.key, d / "known_hosts", COMMAND,
        d / "up", d / "there", d / "down",
    )  # fmt: skip
    assert out.split() == [b"7", b"out", b"err"]
    assert (d / "there").read_bytes() == DATA
    assert (d / "down").read_bytes() == DATA
