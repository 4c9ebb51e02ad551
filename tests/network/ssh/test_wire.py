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


def test_the_pinned_version() -> None:
    assert asyncssh.__version__ == "2.24.1"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
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
        (
            SSHServerConnection,
            "_process_hostkeys_prove_00_at_openssh_dot_com_global_request",
            ["packet"],
        ),
        (SSHConnection, "_process_channel_open", ["_pkttype", "_pktid", "packet"]),
        (SSHConnection, "_service_next_global_request", []),
        (SSHConnection, "_send_disconnect", ["code", "reason", "lang"]),
        (SSHConnection, "_cancel_keepalive_timer", []),
        (SSHConnection, "remove_channel", ["recv_chan"]),
        (SSHChannel, "_service_next_request", []),
        (SSHChannel, "_report_response", ["result"]),
        (SSHChannel, "_process_response", ["pkttype", "_pktid", "packet"]),
        (SSHConnection, "_report_global_response", ["result"]),
        (SSHServerConnection, "_process_session_open", ["packet"]),
        (SSHChannel, "_flush_send_buf", []),
        (SSHChannel, "_deliver_data", ["data", "datatype"]),
        (SSHChannel, "_accept_data", ["data", "datatype"]),
        (SSHChannel, "_pause_resume_writing", []),
        (SSHChannel, "_process_close", ["_pkttype", "_pktid", "packet"]),
        (SSHChannel, "_process_request", ["_pkttype", "_pktid", "packet"]),
        (SSHServerChannel, "_process_exec_request", ["packet"]),
        (SSHServerChannel, "_process_env_request", ["packet"]),
        (SSHServerChannel, "_process_pty_req_request", ["packet"]),
        (SSHServerChannel, "_start_session", ["command", "subsystem"]),
        (SSHChannel, "_send_request", ["request", "args", "want_reply"]),
    ],
)
def test_methods_are_where_they_were(owner: Any, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters)[1:] == parameters


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            SSHConnection,
            "_kex _kex_complete _client_version _enc_alg_sc _auth_complete _channels _transport "
            "_protocol_factory _keepalive_timer _keepalive_count _username _local_addr _local_port",
        ),
        (SSHServerChannel, "_term_type"),
        (
            SSHChannel,
            "_conn _session _send_state _send_chan _send_window _send_pktsize _send_buf "
            "_send_buf_len _recv_state _recv_window _init_recv_window _recv_buf "
            "_recv_paused _request_queue _request_waiters",
        ),
    ],
)
def test_attributes_are_what_they_were(owner: Any, names: str) -> None:
    used = set(owner.__init__.__code__.co_names)
    assert set(names.split()) <= used
