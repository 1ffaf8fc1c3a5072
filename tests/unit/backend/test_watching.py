from __future__ import annotations

from celeriac.backend.base import ResultRecord
from celeriac.backend.memory import MemoryBackend


def test_what_is_added_twice_is_left_at_once(unique_name: str) -> None:
    backend = MemoryBackend(f"memory://{unique_name}")
    watch = backend.open_watch()
    watch.add(["a", "a"])
    watch.add(["a", "b", "b"])
    assert {task_id: len(news) for task_id, news in backend._store.waiting.items()} == {"a": 1, "b": 1}
    watch.discard(["a", "a"])
    watch.close()
    assert backend._store.waiting == {}


def test_many_results_are_read_page_by_page(unique_name: str) -> None:
    backend = MemoryBackend(f"memory://{unique_name}")
    task_ids = [str(number) for number in range(2500)]
    backend.store_many([ResultRecord(task_id, "SUCCESS", 1) for task_id in task_ids])
    watch = backend.open_watch()
    watch.add(task_ids)
    assert [len(watch.wait(10)) for _ in range(4)] == [1000, 1000, 500, 0]
    watch.close()
