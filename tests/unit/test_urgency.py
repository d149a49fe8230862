"""Places go to the most urgent who waits; who gives up, or is served while giving up, takes none with him."""

from __future__ import annotations

import asyncio

import pytest

from streams.inspection.urgency import UrgentPlaces


async def test_the_most_urgent_is_served_first_and_equals_as_they_came() -> None:
    places, served, go = UrgentPlaces(1), list[str](), asyncio.Event()

    async def one(name: str, due: float) -> None:
        async with places.place(due):
            served.append(name)
            await go.wait()

    tasks = []
    for name, due in (("first", 9), ("lazy", 5), ("urgent", 1), ("lazy too", 5), ("urgent too", 1)):
        tasks.append(asyncio.create_task(one(name, due)))
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert served == ["first", "urgent", "urgent too", "lazy", "lazy too"]


async def test_no_more_than_the_places_are_taken_and_all_come_back() -> None:
    places, inside, most = UrgentPlaces(3), 0, 0

    async def one(number: int) -> None:
        nonlocal inside, most
        async with places.place(number % 4):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            if number % 5 == 0:
                raise ValueError(number)

    await asyncio.gather(*(one(number) for number in range(40)), return_exceptions=True)
    assert most == 3
    async with asyncio.timeout(1), places.place(0), places.place(0), places.place(0):
        pass


@pytest.mark.parametrize("served_too", [False, True])
async def test_who_is_cancelled_while_waiting_costs_no_place(served_too: bool) -> None:
    places = UrgentPlaces(1)
    async with places.place(0):
        waiting = asyncio.create_task(_enter(places))
        await asyncio.sleep(0)
        if not served_too:
            waiting.cancel()
            await asyncio.sleep(0)
    if served_too:
        waiting.cancel()  # its turn has come, and it has not run since
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(1), places.place(0):
        pass


async def _enter(places: UrgentPlaces) -> None:
    async with places.place(0):
        await asyncio.sleep(10)
