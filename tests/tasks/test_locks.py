"""The lock of a cache key: one holder, whichever thread or process asks."""

import asyncio
import threading

import pytest

from tasks.execution.cache import KernelLockManager


@pytest.fixture
def locks(tmp_path):
    """Two managers of one folder, as two processes have them; the folder and its parent are made by the first lock."""
    return KernelLockManager(tmp_path / "cache" / "locks"), KernelLockManager(tmp_path / "cache" / "locks")


def in_a_thread(function, *arguments):
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()
    thread.join()
    return results[0]


def test_a_lock_that_one_thread_took_another_may_release(locks):
    first, second = locks
    assert in_a_thread(first.acquire_lock, "k", "a")
    assert first.is_lock_holder("k", "a")
    assert second.is_locked("k")
    first.release_lock("k", "a")
    assert second.acquire_lock("k", "b", 0)


def test_locks_of_different_keys_have_nothing_to_do_with_each_other(locks):
    first, second = locks
    assert first.acquire_lock("k", "a")
    assert second.acquire_lock("l", "b", 0)
    assert not second.is_lock_holder("k", "b")
    assert not first.is_lock_holder("l", "a")
    assert second.is_locked("k")
    first.release_lock("k", "a")
    assert not second.is_locked("k")
    assert first.is_locked("l")


def test_looking_at_a_lock_neither_takes_nor_makes_it(locks):
    first, second = locks
    assert not first.is_locked("k")
    assert not first.folder.exists()
    assert first.acquire_lock("k", "a")
    assert first.is_locked("k")
    first.release_lock("k", "a")
    assert not first.is_locked("k")
    assert not second.is_locked("k")
    assert second.acquire_lock("k", "b", 0)


def test_the_same_holder_has_it_twice_and_another_not_at_all(locks):
    first, _ = locks
    assert first.acquire_lock("k", "a")
    assert first.acquire_lock("k", "a", 0)
    assert first.is_lock_holder("k", "a")
    assert not first.is_lock_holder("k", "b")
    first.release_lock("k", "a")
    assert not first.is_lock_holder("k", "a")
    with pytest.raises(ValueError, match="a does not hold the lock of k"):
        first.release_lock("k", "a")


def test_a_lock_is_waited_for_until_its_holder_lets_go(locks):
    first, second = locks
    assert in_a_thread(first.acquire_lock, "k", "a")
    assert not second.wait_for_lock("k", 0.05)
    threading.Timer(0.3, first.release_lock, ("k", "a")).start()
    assert second.wait_for_lock("k")
    assert not second.is_lock_holder("k", "a")
    assert second.acquire_lock("k", "b", 0)  # waiting does not take it


def test_acquiring_waits_without_end_where_no_time_is_given(locks):
    first, second = locks
    assert in_a_thread(first.acquire_lock, "k", "a")
    threading.Timer(0.3, first.release_lock, ("k", "a")).start()
    assert second.acquire_lock("k", "b")


def test_a_lock_that_was_waited_for_or_looked_at_is_free_for_the_next(locks):
    first, second = locks
    first.folder.mkdir(parents=True)
    for _ in range(2):
        assert first.wait_for_lock("k", 0)
        assert not first.is_locked("k")
        assert second.wait_for_lock("k", 0)
    assert not first.is_lock_holder("k", "a")


def test_asynchronous_callers_get_what_the_others_get(locks):
    first, second = locks

    async def use() -> list[bool]:
        taken = await first.aacquire_lock("k", "a", 1)
        refused = await second.aacquire_lock("k", "b", 0.05)
        waited = await second.await_for_lock("k", 0.05)
        first.release_lock("k", "a")
        return [taken, refused, waited, await second.await_for_lock("k", 5), await second.aacquire_lock("k", "b", 5)]

    assert asyncio.run(use()) == [True, False, False, True, True]
    assert second.is_lock_holder("k", "b")


def test_an_asynchronous_caller_that_waits_does_not_stop_the_others(locks):
    first, second = locks
    assert first.acquire_lock("k", "a")

    async def use() -> bool:
        waiting = asyncio.create_task(second.aacquire_lock("k", "b"))
        await asyncio.sleep(0.05)
        first.release_lock("k", "a")  # never reached if the wait above held the loop
        return await waiting

    assert asyncio.run(use())
