"""Results in key-value stores: what real Celery stores is read, and the other way round."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.backend import ResultRecord
from tests.interop import environment
from tests.support import servers, stores

if TYPE_CHECKING:
    from pathlib import Path


def _file(request: pytest.FixtureRequest, directory: Path) -> dict[str, Any]:
    return {"result_backend": f"file://{directory}"}


def _memcached(request: pytest.FixtureRequest, directory: Path) -> dict[str, Any]:
    return {"result_backend": f"cache+memcached://127.0.0.1:{request.getfixturevalue('memcached').port}/"}


def _s3(request: pytest.FixtureRequest, directory: Path) -> dict[str, Any]:
    endpoint, bucket = f"http://127.0.0.1:{request.getfixturevalue('moto').port}", servers.unique().replace("_", "-")
    stores.make_bucket(endpoint, bucket)
    return {
        "result_backend": "s3",
        "s3_bucket": bucket,
        "s3_base_path": "results/",
        "s3_endpoint_url": endpoint,
        "s3_region": "us-east-1",
        "s3_access_key_id": stores.AWS_KEY,
        "s3_secret_access_key": stores.AWS_SECRET,
    }


def _dynamodb(request: pytest.FixtureRequest, directory: Path) -> dict[str, Any]:
    return {
        "result_backend": f"dynamodb://{stores.AWS_KEY}:{stores.AWS_SECRET}@us-east-1/{servers.unique()}",
        "dynamodb_endpoint_url": f"http://127.0.0.1:{request.getfixturevalue('moto').port}",
    }


@pytest.mark.parametrize("settings_of", [_file, _memcached, _s3, _dynamodb], ids=lambda make: make.__name__[1:])
def test_each_library_reads_what_the_other_stored(
    settings_of: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = settings_of(request, tmp_path)
    backend = _app(settings).backend
    backend.store_many(
        [
            ResultRecord("ours-success", "SUCCESS", {"a": [1, "č"]}, date_done="2026-01-02T03:04:05.000006+00:00"),
            ResultRecord("ours-started", "STARTED", {"pid": 1}),
            ResultRecord("ours-failure", "FAILURE", ValueError("bad", 3), "Traceback …"),
        ]
    )
    backend.save_group("ours-group", [["ours-group", None], [[["member", None], None]]])
    done = subprocess.run(
        [str(environment.ensure()), "-m", "tests.interop.result_store", json.dumps(settings)],
        capture_output=True, text=True, cwd=environment.ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "success": ["SUCCESS", {"a": [1, "č"]}],
        "started": ["STARTED", {"pid": 1}],
        "failure": ["FAILURE", "ValueError('bad', 3)", "Traceback …"],
        "group": ["member"],
    }
    found = backend.load_many(["theirs-success", "theirs-started", "theirs-failure"])
    assert {id_: (record.status, repr(record.result)) for id_, record in found.items()} == {
        "theirs-success": ("SUCCESS", "{'a': [1, 'č']}"),
        "theirs-started": ("STARTED", "{'pid': 1}"),
        "theirs-failure": ("FAILURE", "ValueError('bad', 3)"),
    }
    assert backend.load_group("theirs-group") == [["theirs-group", None], [[["member", None], None]]]
    backend.close()


def _app(settings: dict[str, Any]) -> Celery:
    app = Celery("interop")
    app.conf.update(settings)
    return app
