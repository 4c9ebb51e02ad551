"""What stands between machines, and who runs there: squid with passwords, nginx that ends TLS."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.network.isolated.topology import RELAY_ADDRESS, Machine, Topology

PATIENCE = 40.0
PROXY_PORT = 3128
USER, PASSWORD, ENCODED = "host", "p@ss:w/rd", "p%40ss%3Aw%2Frd"

SQUID = """
http_port {port}
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/passwd
acl known proxy_auth REQUIRED
acl CONNECT method CONNECT
acl https port 443
http_access deny CONNECT !https
http_access allow known
http_access deny all
cache deny all
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
shutdown_lifetime 0
visible_hostname proxy
"""
NGINX = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen {address}:443 ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass http://127.0.0.1:8080;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def eventually(holds: Callable[[], Any], what: str) -> Any:
    """Poll until `holds` gives something true, and return that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)
    return found


class Site:
    """One topology with what runs on it, in a folder that other users may enter."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="uptui-w-"))
        self.folder.chmod(0o755)
        self.topology = Topology.named(f"{name}{os.getpid()}")
        self.processes: list[subprocess.Popen[str]] = []
        self.topology.make()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key"], check=True
        )

    def environment(self, **further: str) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
        places = {
            f"UPTUI_{place}_DIR": str(self.folder / place)
            for place in ("STATE", "CONFIG", "RUNTIME")
        }
        return {**kept, **places, "UPTUI_SHELL": "/bin/sh", **further}

    def start(self, machine: Machine, *argv: str, log: str, **env: str) -> "subprocess.Popen[str]":
        with (self.folder / log).open("a") as errors:
            process = subprocess.Popen(
                machine.command(*argv),
                env=self.environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()

    def relay(self, *flags: str) -> str:
        """Start a relay; the URL that it announces."""
        process = self.start(
            self.topology.relay,
            *(sys.executable, "-m", "uptui", "relay", "--json", *flags),
            *("--state", str(self.folder / "relay")),
            log="relay.log",
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log("relay.log")
        return str(json.loads(line)["url"])

    def host(self, *flags: str, **env: str) -> "subprocess.Popen[str]":
        return self.start(
            self.topology.host,
            *(sys.executable, "-m", "uptui", "host", "--json", "--unknown", "deny", *flags),
            *("--authorized-keys", str(self.folder / "key.pub"), "--alias", "demo-box"),
            log="host.log",
            **env,
        )

    def ready(self, process: "subprocess.Popen[str]") -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log("host.log")
        return json.loads(line)

    def squid(self) -> None:
        """A proxy on every address of the relay's machine."""
        digest = subprocess.run(
            ["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True
        )
        place = self.folder / "squid"
        place.mkdir()
        (place / "passwd").write_text(f"{USER}:{digest.stdout}")
        config = place / "squid.conf"
        config.write_text(SQUID.format(folder=place, port=PROXY_PORT))
        shutil.chown(place, "proxy")
        self.start(self.topology.relay, "squid", "-N", "-f", str(config), log="squid.log")
        self._listening(PROXY_PORT)

    def nginx(self) -> Path:
        """HTTPS on the relay's address; the certificate to trust."""
        certificate = self.folder / "cert.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=relay"),
                *("-addext", f"subjectAltName=IP:{RELAY_ADDRESS}"),
                *("-keyout", str(self.folder / "key.pem"), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.format(folder=self.folder, address=RELAY_ADDRESS))
        self.start(self.topology.relay, "nginx", "-c", str(config), log="nginx.out")
        self._listening(443)
        return certificate

    def _listening(self, port: int) -> None:
        def look() -> bool:
            return f":{port} " in self.topology.relay.run("ss", "-Hltn").stdout

        eventually(look, f"something listens on {port}")

    def status(self) -> Any:
        done = self.uptui(self.topology.host, "status", "--json")
        return json.loads(done.stdout)["relay"] if done.returncode == 0 else None

    def uptui(
        self, machine: Machine, *arguments: str, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            machine.command(sys.executable, "-m", "uptui", *arguments),
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ssh(
        self, proxy_command: str, stdin: bytes, *command: str, **env: str
    ) -> "subprocess.CompletedProcess[bytes]":
        """The real ssh on the client's machine, to the alias."""
        config = self.folder / "ssh_config"
        config.write_text(
            f"Host demo-box\n  ProxyCommand {proxy_command}\n"
            f"  IdentityFile {self.folder}/key\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  StrictHostKeyChecking accept-new\n  UserKnownHostsFile {self.folder}/known_hosts\n"
            "  LogLevel ERROR\n  BatchMode yes\n"
        )
        return subprocess.run(
            self.topology.client.command("ssh", "-F", str(config), "demo-box", *command),
            env=self.environment(**env),
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.topology.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
