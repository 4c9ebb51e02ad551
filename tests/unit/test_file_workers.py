"""Threads for slow file systems: nobody waits for another client's."""

import asyncio
import threading

from uptui.host.sshd.files.workers import PER_CLIENT, TO_SPARE, FileWorkers


async def test_a_client_whose_disk_hangs_keeps_nobody_waiting() -> None:
    workers, hang = FileWorkers(), threading.Event()
    crowd = [workers.of(number) for number in range(TO_SPARE)]
    hung = [share.run(hang.wait) for share in crowd for _ in range(PER_CLIENT + 5)]
    await asyncio.sleep(0.05)
    assert threading.active_count() <= 2 * TO_SPARE + 5
    assert await asyncio.wait_for(workers.of("bob").run(lambda: 7), 5) == 7
    hang.set()
    assert all(await asyncio.gather(*hung))


async def test_bulk_work_of_a_client_takes_one_thread() -> None:
    share, at_once, most = FileWorkers().of("mallory"), 0, 0

    def work() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threading.Event().wait(0.01)
        at_once -= 1

    bulk = [share.run(work, bulk=True) for _ in range(8)]
    assert await asyncio.wait_for(share.run(lambda: "not bulk"), 5) == "not bulk"
    assert not bulk[-1].done()
    await asyncio.gather(*bulk)
    assert most == 1


async def test_what_fails_fails_for_who_asked() -> None:
    share = FileWorkers().of("bob")
    failed, cancelled = share.run(lambda: 1 // 0), share.run(lambda: 1)
    cancelled.cancel()
    assert isinstance((await asyncio.gather(failed, return_exceptions=True))[0], ZeroDivisionError)
    assert await share.run(lambda: 1) == 1
