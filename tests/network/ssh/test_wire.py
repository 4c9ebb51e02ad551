"""Canaries: what `wire` and `channels` rely on inside asyncssh is still there and still called so.

When one of these fails after an update of asyncssh, read the named method upstream again before
touching our side.
"""

import inspect
from typing import Any

import asyncssh
import pytest
from asyncssh.channel import SSHChannel, SSHServerChannel
from asyncssh.connection import SSHConnection, SSHServerConnection
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import GCMEncryption

from uptui.host.ssh.gcm import PacketCipher


def test_the_pinned_version() -> None:
    assert asyncssh.__version__ == "2.24.1"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (SSHConnection, "send_packet", ["pkttype", "args", "handler"]),
        (SSHConnection, "_send", ["data"]),
        (SSHConnection, "_force_close", ["exc"]),
        (SSHConnection, "_recv_pkthdr", []),
        (SSHConnection, "_recv_packet", []),
        (SSHConnection, "_send_kexinit", []),
        (SSHConnection, "_process_kexinit", ["_pkttype", "_pktid", "packet"]),
        (SSHConnection, "send_newkeys", ["k", "h"]),
        (SSHConnection, "_process_global_request", ["_pkttype", "_pktid", "packet"]),
        (SSHConnection, "_reset_keepalive_timer", []),
        (SSHConnection, "_keepalive_timer_callback", []),
        (SSHConnection, "pause_writing", []),
        (SSHConnection, "resume_writing", []),
        (SSHServerConnection, "reload_config", []),
        (SSHServerConnection, "create_agent_listener", []),
        (SSHServerConnection, "get_agent_path", []),
        (SSHServerConnection, "attach_x11_listener", ["chan", "auth_proto", "auth_data", "screen"]),
        (SSHServerConnection, "detach_x11_listener", ["chan"]),
        (SSHServerConnection, "_process_cancel_tcpip_forward_global_request", ["packet"]),
        (
            SSHServerConnection,
            "_process_cancel_streamlocal_forward_at_openssh_dot_com_global_request",
            ["packet"],
        ),
        (SSHConnection, "_report_global_response", ["result"]),
        (SSHChannel, "_flush_send_buf", []),
        (SSHChannel, "_deliver_data", ["data", "datatype"]),
        (SSHChannel, "_accept_data", ["data", "datatype"]),
        (SSHChannel, "_pause_resume_writing", []),
        (SSHChannel, "_process_close", ["_pkttype", "_pktid", "packet"]),
        (SSHChannel, "_process_request", ["_pkttype", "_pktid", "packet"]),
        (SSHServerChannel, "_process_exec_request", ["packet"]),
        (SSHServerChannel, "_process_env_request", ["packet"]),
        (SSHServerChannel, "_start_session", ["command", "subsystem"]),
        (GCMEncryption, "decrypt_packet", ["seq", "first", "rest", "header_len", "mac"]),
    ],
)
def test_methods_are_where_they_were(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters)[1:] == parameters


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            SSHConnection,
            "_inpbuf _packet _pktlen _recv_handler _recv_seq _recv_encryption _recv_blocksize "
            "_recv_macsize _next_recv_encryption _send_encryption _send_seq _rekey_bytes_sent "
            "_rekey_time _kex _kex_complete _session_id _client_version _enc_algs _enc_alg_sc "
            "_auth_complete _auth_final _max_recv_pktlen _channels _transport _protocol_factory "
            "_keepalive_timer _keepalive_count _username _local_addr _local_port",
        ),
        (
            SSHChannel,
            "_conn _session _send_state _send_chan _send_window _send_pktsize _send_buf "
            "_send_buf_len _recv_state _recv_window _init_recv_window _recv_buf",
        ),
        (GCMCipher, "_key _iv"),
    ],
)
def test_attributes_are_what_they_were(owner: Any, names: str) -> None:
    used = set(owner.__init__.__code__.co_names)
    assert set(names.split()) <= used


def test_our_cipher_speaks_as_asyncsshs_does() -> None:
    key, iv = bytes(range(16)), bytes(range(12))
    theirs = GCMEncryption(GCMCipher("aes128-gcm", key, iv))
    ours = PacketCipher(key, iv)
    header = (32).to_bytes(4, "big")
    for number in range(3):
        plain = bytes([number]) * 32
        assert b"".join(theirs.encrypt_packet(number, header, plain)) == b"".join(
            ours.encrypt_packet(number, header, plain)
        )


def test_a_forged_packet_is_found() -> None:
    key, iv = bytes(16), bytes(12)
    sealed = bytearray(PacketCipher(key, iv).seal(b"head", b"x" * 32))
    sealed[3] ^= 1
    assert PacketCipher(key, iv).open(b"head", sealed) is None
