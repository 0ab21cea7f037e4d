"""How long a client may send nothing."""

from __future__ import annotations

import asyncio

import pytest

from registry.server.patience import Patience

SHORT = 0.05


async def silent() -> None:
    await asyncio.Event().wait()


def test_who_sends_nothing_is_not_waited_for() -> None:
    async def work() -> int:
        with Patience(SHORT) as patience, pytest.raises(TimeoutError):
            await patience.wait(silent())
        task = asyncio.current_task()
        return task.cancelling() if task else -1

    assert asyncio.run(work()) == 0


def test_what_lies_between_two_waits_does_not_count() -> None:
    async def work() -> list[int]:
        with Patience(SHORT) as patience:
            got = []
            for number in range(3):
                got.append(await patience.wait(asyncio.sleep(0, number)))
                await asyncio.sleep(2 * SHORT)
            return got

    assert asyncio.run(work()) == [0, 1, 2]


def test_a_late_wait_has_all_of_its_time() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        with Patience(4 * SHORT) as patience:
            await asyncio.sleep(3 * SHORT)
            begun = loop.time()
            with pytest.raises(TimeoutError):
                await patience.wait(silent())
            return loop.time() - begun

    assert asyncio.run(work()) >= 4 * SHORT


def test_another_ones_cancelling_stays_that() -> None:
    async def work() -> None:
        with Patience(60) as patience:
            await patience.wait(silent())

    async def cancelled() -> bool:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(cancelled())
