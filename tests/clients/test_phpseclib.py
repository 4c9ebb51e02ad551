"""phpseclib 2 and 3, which much of PHP speaks SSH with: an answer to every global request."""

import pytest

from tests.network.daemon.conftest import Machine
from tests.network.ides.desk import Desk, desk_of, new_key
from tests.network.sshd import Sshd

pytestmark = pytest.mark.family

_LOGIN = {
    2: (
        'require "/usr/share/php/phpseclib/autoload.php";'
        "$s = new phpseclib\\Net\\SFTP($argv[1], (int)$argv[2]);"
        "$k = new phpseclib\\Crypt\\RSA(); $k->loadKey(file_get_contents($argv[4]));"
    ),
    3: (
        'require "/usr/share/php/phpseclib3/autoload.php";'
        "$s = new phpseclib3\\Net\\SFTP($argv[1], (int)$argv[2]);"
        "$k = phpseclib3\\Crypt\\PublicKeyLoader::load(file_get_contents($argv[4]));"
    ),
}
_WORK = (
    'if (!$s->login($argv[3], $k)) { echo "no login"; exit(1); }'
    'echo $s->exec("echo hi");'
    '$s->put($argv[5], "written"); echo $s->get($argv[5]); $s->delete($argv[5]);'
)


def said(desk: Desk, version: int, where: tuple[str, int, str], key: str) -> bytes:
    """What a session of commands and files over this library writes."""
    address, port, user = where
    script = _LOGIN[version] + _WORK
    arguments = (address, str(port), user, key, str(desk.folder / f"php-{version}"))
    return desk.run("php", "-d", "display_errors=stderr", "-r", script, "--", *arguments).stdout


@pytest.mark.parametrize("way", ["port", "plain", "sshd"])
def test_phpseclib_3(desk: Desk, sshd: Sshd, way: str) -> None:
    if way == "sshd":
        sshd.authorized_keys.write_text(desk.key.with_suffix(".pub").read_text())
        where = ("127.0.0.1", sshd.port, sshd.user)
    else:
        at = desk.ways[way]
        where = (at["host"], at["port"], at["user"])
    assert said(desk, 3, where, str(desk.key)) == b"hi\nwritten"


def test_phpseclib_2_knows_rsa_only(machine: Machine) -> None:
    """By the host's own port, with the RSA key that is shown on wish."""
    keys = {name: machine.folder / name for name in ("host-rsa", "guest-rsa")}
    for path in keys.values():
        new_key(path, "rsa")
    options = ("--unknown", "deny", "--host-keys", str(keys["host-rsa"]))
    with desk_of(machine, "--authorized-keys", f"{keys['guest-rsa']}.pub", *options) as desk:
        at = desk.ways["port"]
        where = (at["host"], at["port"], at["user"])
        assert said(desk, 2, where, str(keys["guest-rsa"])) == b"hi\nwritten"
