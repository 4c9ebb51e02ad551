"""Every key of the table does what it says, from where it should."""

import asyncio

import msgspec
import pytest

from tests.tui.conftest import Make
from tests.tui.sample import ALICE, BOB, EMPTY, INVITE, NOW, PENDING, client, snapshot
from tests.tui.screen import shown, until, until_shown
from uptui.errors import ApiError, NotRunningError
from uptui.protocol.host_aliases import AliasView
from uptui.protocol.host_api import EditPerson, LogEntry, NewInvite
from uptui.protocol.names import ClientId, Fingerprint, RequestId
from uptui.screens.host_calls import DEAF_SECONDS

SIZE = (100, 30)


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("1", "Connect"),
        ("2", "Invites 3"),
        ("3", "Connection test"),
        ("4", "Listening 2"),
        ("5", "Known people 2"),
        ("6", "Log 7"),
        ("7", "Settings 4"),
    ],
)
async def test_digits_go_to_the_screens(make: Make, key: str, title: str) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press(key)
        await until_shown(pilot, title)


@pytest.mark.parametrize("place", ["1", "2", "3", "4", "5", "6", "7", "question_mark", "C", "x"])
async def test_approve_and_deny_work_from_everywhere(make: Make, place: str) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press(place)
        await until_shown(pilot, "alice")
        await pilot.press("A")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("approve", PENDING.id, None, False, None)]
        await pilot.press("D")
        await until(pilot, lambda: len(host.calls) == 2)
        assert host.calls[1] == ("deny", PENDING.id, False)


async def test_the_oldest_request_is_answered_first(make: Make) -> None:
    import msgspec

    younger = msgspec.structs.replace(PENDING, id=RequestId("rnew"), asked_at=NOW - 1, name="zoe")
    app, host = make(snapshot(pending=[younger, PENDING]))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "+1 more")
        await pilot.press("A")
        await until(pilot, lambda: host.calls)
        assert host.calls[0][1] == PENDING.id


async def test_typing_never_answers_a_request(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("slash", "A", "D", "enter")
        await until_shown(pilot, "0 of 3")
        assert host.calls == []


async def test_a_key_answers_what_was_on_the_screen(make: Make) -> None:
    """Two presses in a row let one in; who comes to the front meanwhile is looked at first."""
    import msgspec

    younger = msgspec.structs.replace(PENDING, id=RequestId("rnew"), name="mallory")
    app, host = make(snapshot(pending=[PENDING, younger]))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "+1 more")
        app.change(snapshot=snapshot(pending=[younger]))
        await pilot.press("A", "D")
        await until_shown(pilot, "Another request is shown")
        assert host.calls == []
        await asyncio.sleep(DEAF_SECONDS)
        await pilot.press("A")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("approve", younger.id, None, False, None)]


async def test_a_name_that_may_be_another_s_is_warned_about(make: Make) -> None:
    why = "looks like alice, another key is known as alice"
    app, _ = make(snapshot(pending=[msgspec.structs.replace(PENDING, warning=why)]))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        for key in ("1", "5"):
            await pilot.press(key)
            await until_shown(pilot, f"warning: {why}")
            await until_shown(pilot, "A ok")
        app.change(snapshot=snapshot())
        await until(pilot, lambda: why not in shown(pilot))
        app.change(snapshot=snapshot(pending=[msgspec.structs.replace(PENDING, warning=why)]))
        await pilot.press("a")
        await until_shown(pilot, "Leave them waiting")
        await until_shown(pilot, f"warning   {why}")


async def test_enter_never_approves(make: Make) -> None:
    app, host = make(snapshot(clients=[]))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("enter", "space", "tab", "enter")
        await pilot.pause()
        assert host.calls == []


async def test_review_approves_always_with_a_role_and_a_name(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("a")
        await until_shown(pilot, ALICE)
        await pilot.press("shift+tab", *"Alice", "tab", "down", "down", "down", "down", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("approve", PENDING.id, "viewer", True, "Alice")]


async def test_review_starts_at_leaving_them_waiting(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("a")
        await until_shown(pilot, "Leave them waiting")
        await pilot.press("enter")
        await until(pilot, lambda: "Leave them waiting" not in shown(pilot))
        assert host.calls == []


async def test_review_blocks(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("a")
        await until_shown(pilot, "Deny and block")
        await pilot.press("end", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("deny", PENDING.id, True)]


async def test_kick_asks_and_cancel_is_the_default(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("x")
        await until_shown(pilot, "Kick bob?")
        assert "2 channels" in shown(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "Kick bob?" not in shown(pilot))
        assert host.calls == []
        await pilot.press("x")
        await until_shown(pilot, "Kick bob?")
        await pilot.press("right", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("kick", "c00001", False)]


@pytest.mark.parametrize(
    ("key", "title", "call"),
    [
        ("X", "Kick everybody?", ("kick_all",)),
        ("R", "Rotate and disconnect everyone?", ("rotate", True)),
        ("ctrl+x", "Stop sharing?", ("stop",)),
        ("B", "Block bob?", ("kick", "c00001", True)),
    ],
)
async def test_destructive_acts_ask_first(
    make: Make, key: str, title: str, call: tuple[object, ...]
) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press(key)
        await until_shown(pilot, title)
        await pilot.press("escape")
        await until(pilot, lambda: title not in shown(pilot))
        assert host.calls == []
        await pilot.press(key)
        await until_shown(pilot, title)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [call]


async def test_rotate_acts_at_once(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("r")
        await until_shown(pilot, "New token")
        assert host.calls == [("rotate", False)]


async def test_lock_can_be_undone(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "LOCK off")
        await pilot.press("L")
        await until_shown(pilot, "u undo")
        await pilot.press("u")
        await until(pilot, lambda: len(host.calls) == 2)
        assert host.calls == [("lock", True), ("lock", False)]


async def test_role_change_and_undo(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("m")
        await until_shown(pilot, "Role of bob")
        await pilot.press("home", "enter")
        await until_shown(pilot, "bob is now viewer")
        await pilot.press("u")
        await until(pilot, lambda: len(host.calls) == 2)
        assert host.calls == [
            ("change_role", "c00001", "viewer"),
            ("change_role", "c00001", "developer"),
        ]


async def test_the_wizard_makes_an_invite(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("i")
        await until_shown(pilot, "Who is it for?")
        await pilot.press("enter")
        await until_shown(pilot, "Type a name.")
        await pilot.press(*"eve", "enter")
        await until_shown(pilot, "What may they do?")
        await pilot.press("home", "enter", "down", "enter", "up", "enter", "end", "enter")
        await until_shown(pilot, "eve may join as viewer")
        assert "the shared terminal" in shown(pilot)
        assert host.calls == []
        await pilot.press("escape")
        await until_shown(pilot, "How often?")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "Invite for alice")
        assert host.calls == [
            ("invite", NewInvite(name="eve", role="viewer", landing="shared",
                                 expires_in=8 * 3600.0, uses=None))
        ]  # fmt: skip


async def test_copy_says_where_else_to_find_it(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("c")
        await until_shown(pilot, "Sent to clipboard")
        assert app.clipboard == "ssh -p 20017 relay.example"


async def test_formats_are_copied_by_choice(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("C")
        await until_shown(pilot, "sftp")
        await pilot.press("down", "down", "down", "enter")
        await until_shown(pilot, "Sent to clipboard")
        assert app.clipboard == "scp -P 20017 FILE relay.example:"


async def test_a_string_is_written_to_a_private_file_and_never_over_one(
    make: Make, tmp_path: object
) -> None:
    from pathlib import Path

    target = Path(str(tmp_path)) / "string.txt"
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        for _ in range(2):
            await until_shown(pilot, "bob")
            await pilot.press("C")
            await until_shown(pilot, "sftp")
            await pilot.press("w")
            await until_shown(pilot, "Write to a file")
            await pilot.press("ctrl+u", *str(target), "enter")
            await until(pilot, lambda: "Only you will" not in shown(pilot))
            await until(pilot, target.exists)
        await until_shown(pilot, "That did not work")
    assert target.read_text() == "ssh -p 20017 relay.example\n"
    assert target.stat().st_mode & 0o777 == 0o600


async def test_qr_code_is_scannable_text(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("Q")
        await until_shown(pilot, "█▀▀▀▀▀█")


async def test_qr_code_of_a_token_fits_the_smallest_full_screen(make: Make) -> None:
    whole = snapshot()
    url = msgspec.structs.replace(
        whole.url, strings={"ssh": f"ssh -p 20017 {'a' * 26}@relay.example.org"}
    )
    app, _ = make(msgspec.structs.replace(whole, url=url, pending=[]))
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("Q")
        await until_shown(pilot, "█▀▀▀▀▀█")
        assert "esc Close" in shown(pilot)


async def test_toasts_leave_when_a_dialog_opens(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("c")
        await until_shown(pilot, "Sent to clipboard")
        await pilot.press("C")
        await until_shown(pilot, "Write to a file")
        await until(pilot, lambda: "Sent to clipboard" not in shown(pilot))


async def test_an_undone_act_is_offered_no_more(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("L")
        await until_shown(pilot, "u undo")
        await pilot.press("u")
        await until_shown(pilot, "Undone")
        await until(pilot, lambda: "u undo" not in shown(pilot))


async def test_namesakes_are_told_apart_by_their_keys(make: Make) -> None:
    two = [
        client("somebody", 1, fingerprint=BOB),
        client("somebody", 2, fingerprint=Fingerprint("SHA256:Zz9yrest")),
        client("dave", 3),
    ]
    app, _ = make(snapshot(clients=two))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "somebody Zz9y")
        assert f"somebody {BOB.removeprefix('SHA256:')[:4]}" in shown(pilot)
        assert "dave  " in shown(pilot)


async def test_the_log_says_who_did_it(make: Make) -> None:
    entry = LogEntry(n=1, at=NOW, level="info", event="session.shell", text="opens a shell",
                     client_id=ClientId("c00001"), name="bob")  # fmt: skip
    app, _ = make(snapshot(log=[entry], pending=[]))
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await pilot.press("6")
        await until_shown(pilot, "bob opens a shell")


async def test_the_relay_screen_asks_a_relay_only_when_it_is_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def aliases() -> list[AliasView]:
        asked.append("aliases")
        raise ApiError(502, "The relay cannot be used", "the connection was refused")

    up = snapshot().relay
    app, host = make(snapshot(relay=msgspec.structs.replace(up, status="retry")))
    monkeypatch.setattr(host, "aliases", aliases)
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "RETRY")
        await pilot.press("3")
        await until_shown(pilot, "Connection test")
        assert not asked
        host.push(snapshot(relay=up))
        await until_shown(pilot, "That did not work")
        assert asked == ["aliases"]


async def test_help_lists_the_keys_of_the_screen_below(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=(100, 60)) as pilot:
        await pilot.press("6")
        await until_shown(pilot, "what happened")
        await pilot.press("f1")
        await until_shown(pilot, "Lowest level shown")
        assert "A tour in 60 seconds" in shown(pilot)
        await pilot.press("y")
        await until_shown(pilot, "3 clients, 1 pending")


async def test_palette_finds_a_client_by_name(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "carol")
        await pilot.press("ctrl+p", *"kick carol")
        await until_shown(pilot, "Kick carol")
        await pilot.press("enter")
        await until_shown(pilot, "Kick carol?")


async def test_filter_counts_and_escape_clears(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "dave")
        await pilot.press("slash", *"caro", "enter")
        await until_shown(pilot, "1 of 3")
        assert "dave" not in shown(pilot)
        await pilot.press("slash", "escape")
        await until_shown(pilot, "dave")


async def test_sort_goes_through_the_columns(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("s", "s")
        await until_shown(pilot, "role↑")


async def test_pause_freezes_the_chart(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "1.2 MB/s")
        await pilot.press("space")
        await until_shown(pilot, "PAUSED")
        host.push(snapshot(traffic=EMPTY.traffic, clients=[]))
        await until_shown(pilot, "0 clients")
        assert "1.2 MB/s" in shown(pilot)


async def test_zoom_goes_round(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "host key")
        await pilot.press("plus")
        await until(pilot, lambda: "host key" not in shown(pilot))
        await pilot.press("escape")
        await until_shown(pilot, "host key")


async def test_tokens_are_masked_until_revealed_and_hidden_in_privacy(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press("2")
        await until_shown(pilot, "Invites 3")
        await pilot.resize_terminal(150, 30)
        await until_shown(pilot, "inv-p3rs")
        assert INVITE in shown(pilot), "what is public may be seen"
        assert "198.51.100.7" in shown(pilot)
        await pilot.press("P")
        await until_shown(pilot, "PRIVATE")
        assert "inv-p3rs" not in shown(pilot)
        assert "198.51.100.7" not in shown(pilot)


async def test_a_remapped_key_works_and_shows(make: Make) -> None:
    app, host = make(keymap={"approve": "Y"})
    async with app.run_test(notifications=True, size=(100, 60)) as pilot:
        await until_shown(pilot, "alice")
        await pilot.press("A")
        await pilot.pause()
        assert host.calls == []
        await pilot.press("Y")
        await until(pilot, lambda: host.calls)


async def test_detach_leaves_the_share_alone(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("q")
    assert host.calls == []
    assert app.return_code == 0


async def test_lost_daemon_dims_and_says_how_old_the_data_is(make: Make) -> None:
    app, host = make(snapshot(taken_at=NOW - 12))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        host.push(NotRunningError("gone"))
        await until_shown(pilot, "last update 12s ago, reconnecting")
        assert app.screen.has_class("-lost")
        host.push(snapshot())
        await until_shown(pilot, "● UP")
        assert not app.screen.has_class("-lost")


async def test_a_refused_act_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app, host = make()

    async def refuse(**_: object) -> None:
        raise ApiError(409, "Not now", "the relay is away; try again when it is back")

    monkeypatch.setattr(host, "rotate", refuse)
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("r")
        await until_shown(pilot, "the relay is away")


async def test_invites_are_shown_and_revoked(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press("2")
        await until_shown(pilot, "used-up")
        await pilot.press("x")
        await until_shown(pilot, "Revoke alice?")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("revoke", INVITE)]


async def test_relay_screen_claims_releases_tests_and_reconnects(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=(100, 40)) as pilot:
        await pilot.press("3")
        await until_shown(pilot, "served here")
        await pilot.press("n")
        await until_shown(pilot, "A name that stays")
        await pilot.press("ctrl+u", *"taken", "enter")
        await until_shown(pilot, "taken-2")
        await pilot.press("n")
        await until_shown(pilot, "A name that stays")
        await pilot.press("ctrl+u", *"Bad_", "enter")
        await until_shown(pilot, "an alias has only a-z")
        await pilot.press("ctrl+u", *"fresh", "enter")
        await until_shown(pilot, "Sharing as fresh")
        await pilot.press("x")
        await until_shown(pilot, "Release demo-box?")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: ("release_alias", "demo-box") in host.calls)
        await pilot.press("g")
        await until(pilot, lambda: ("reconnect",) in host.calls)
        await pilot.press("T")
        await until_shown(pilot, "use the direct port")


async def test_ports_give_the_forward_line(make: Make) -> None:
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press("4")
        await until_shown(pilot, "postgres")
        await pilot.press("l")
        await until_shown(pilot, "ssh -N -L 3000:localhost:3000 -p 20017 relay.example")


async def test_client_detail_opens_and_messages(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=(100, 40)) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("enter")
        await until_shown(pilot, BOB)
        assert "/home/dev/app.tar.gz" in shown(pilot)
        await pilot.press("M")
        await until_shown(pilot, "Message to bob")
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("say", "c00001", "hello")]
        host.push(snapshot(clients=[]))
        await until_shown(pilot, "Gone")
        await pilot.press("escape")
        await until_shown(pilot, "Connect")


async def test_people_are_renamed_blocked_and_forgotten(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=(100, 40)) as pilot:
        await pilot.press("5")
        await until_shown(pilot, "mallory")
        await pilot.press("tab", "n")
        await until_shown(pilot, "Rename")
        await pilot.press("ctrl+u", *"robert", "enter")
        await until(pilot, lambda: len(host.calls) == 1)
        await pilot.press("B")
        await until(pilot, lambda: len(host.calls) == 2)
        await pilot.press("F")
        await until_shown(pilot, "Forget bob?")
        await pilot.press("tab", "enter")
        await until(pilot, lambda: len(host.calls) == 3)
        assert host.calls == [
            ("edit_person", BOB, EditPerson(name="robert")),
            ("edit_person", BOB, EditPerson(blocked=True)),
            ("forget_person", BOB),
        ]


async def test_log_pauses_and_filters_by_level(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press("6")
        await until_shown(pilot, "LIVE")
        await pilot.press("space")
        await until_shown(pilot, "PAUSED")
        host.push(snapshot(log=[]))
        await pilot.press("f", "f")
        await until_shown(pilot, "from warning")
        assert "Sharing started" not in shown(pilot)
        assert "The relay was lost" in shown(pilot)


async def test_settings_flip_edit_and_explain(make: Make) -> None:
    app, host = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await pilot.press("7")
        await until_shown(pilot, "access.e2e_only")
        await pilot.press("down", "enter")
        await until(pilot, lambda: host.calls)
        assert host.calls == [("change_setting", "access.e2e_only", True)]
        await pilot.press("down", "enter")
        await until_shown(pilot, "takes effect at the next start")


async def test_a_screenshot_is_saved(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    monkeypatch.chdir(folder)
    app, _ = make()
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        await pilot.press("ctrl+s")
        await until_shown(pilot, "Screenshot:")
    assert [path.suffix for path in folder.iterdir()] == [".svg"]


async def test_a_new_request_rings_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    app, host = make(snapshot(pending=[]))
    rings: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: rings.append(1))
    async with app.run_test(notifications=True, size=SIZE) as pilot:
        await until_shown(pilot, "bob")
        host.push(snapshot())
        host.push(snapshot(clients=[client("erin", 4)]))
        await until_shown(pilot, "erin")
        assert rings == [1]
