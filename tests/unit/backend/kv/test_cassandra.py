"""Results in Cassandra: rows that Celery reads, changes whose answer does not come, settings."""

from __future__ import annotations

import json
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DependencyException,
    InvalidRequest,
    OperationTimedOut,
    Unauthorized,
    Unavailable,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, NoHostAvailable, ResultSet
from cassandra.connection import ConnectionShutdown
from cassandra.policies import FallthroughRetryPolicy, TokenAwarePolicy
from cassandra.query import dict_factory, named_tuple_factory, tuple_factory

from celeriac.backend import BackendOptions, ResultRecord, open_backend
from celeriac.backend.kv.backend import open_driver
from celeriac.backend.kv.cassandra import access, client
from celeriac.backend.kv.cassandra.driver import CassandraDriver
from celeriac.backend.kv.cassandra.tables import Value, _named
from celeriac.backend.kv.cassandra.transactions import Seen, Transactions
from celeriac.backend.kv.driver import ABSENT, ANY, Entry
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from tests.support import PATIENCE, SLACK
from tests.support.emulators import cassandra as emulator
from tests.support.emulators.cassandra import Fault, Server, Statement
from tests.support.emulators.cassandra_wire import CLIENT_OPTIONS, Wire, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from celeriac.backend import ResultBackend

SETTINGS = {"cassandra_servers": ["there"], "cassandra_keyspace": "ks", "cassandra_table": "tasks"}
CREATE, REPLACE, DELETE, READ = "INSERT INTO tasks_c", "UPDATE tasks_c", "DELETE FROM tasks_c", "SELECT data"
ROW_COLUMNS = "task_id, status, result, date_done, traceback, children"


class MeddledServer(Server):
    """Calls something once, before the next statement that begins with some words and has this level."""

    meddling: tuple[str, int | None, Callable[[], object]] | None = None

    def execute(
        self, statement: str | Statement, parameters: Sequence[Any] = (), timeout: float | None = None
    ) -> emulator.Answer:
        if self.meddling is not None and isinstance(statement, Statement):
            words, level, call = self.meddling
            if statement.text.startswith(words) and level in (None, statement.consistency_level):
                self.meddling = None
                call()
        return super().execute(statement, parameters, timeout)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> MeddledServer:
    """A server to which all clients connect."""
    server = MeddledServer()
    monkeypatch.setattr(access, "Cluster", server.cluster)
    return server


def backend_of(server: Server, timeout: float = 10.0, **options: Any) -> ResultBackend:
    settings = {**SETTINGS, **options.pop("settings", {})}
    return open_backend("cassandra://", BackendOptions(timeout=timeout, settings=settings, **options))


def driver_of(server: Server, timeout: float = 10.0) -> CassandraDriver:
    driver = open_driver("cassandra", "cassandra://", BackendOptions(timeout=timeout, settings=SETTINGS))
    assert isinstance(driver, CassandraDriver)
    return driver


def add_row(server: Server, task_id: str, status: str, result: Any = None, *, at: datetime | None = None) -> None:
    """What a worker of Celery does."""
    insert = server.prepare(f"INSERT INTO tasks ({ROW_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?")
    columns = (json.dumps(result).encode(), at or datetime.now(UTC), b"null", b"null")
    server.execute(insert, (task_id, status, *columns, 0))


def rows_of(server: Server, task_id: str) -> list[tuple[Any, ...]]:
    """The rows of a task, the last one first: what Celery reads is the first of them."""
    table, names = server.tables["tasks"], ["status", "result", "date_done", "traceback", "children"]
    return [table.columns_of(task_id, *found, names) for found in table.rows(task_id)]


# --- Celery's table


def test_rows_are_those_of_celery(server: Server) -> None:
    backend = backend_of(server)
    done = "2026-01-02T03:04:05.678901+01:00"
    backend.store_many([ResultRecord("t", "SUCCESS", {"a": 1}, None, [["c", None]], done, "group", "parent")])
    failed = ResultRecord("u", "FAILURE", ValueError("x"), "Traceback", None, done, extra={"name": "proj.add"})
    backend.store_many([failed])
    at = datetime(2026, 1, 2, 2, 4, 5, 678000)
    assert rows_of(server, "t") == [("SUCCESS", b'{"a": 1}', at, b"null", b'[["c", null]]')]
    ((status, result, _, traceback, children),) = rows_of(server, "u")
    assert (status, traceback, children) == ("FAILURE", b'"Traceback"', b"null")
    assert json.loads(result) == {"exc_type": "ValueError", "exc_message": ["x"], "exc_module": "builtins"}
    # What Celery has no column for is kept all the same.
    got = backend.load_many(["t", "u"])
    assert (got["t"].group_id, got["t"].parent_id, got["t"].date_done) == ("group", "parent", done)
    assert (got["u"].extra, got["u"].date_done) == ({"name": "proj.add"}, done)


def test_results_of_celerys_workers_are_read(server: Server) -> None:
    backend = backend_of(server)
    assert backend.load_many(["t"]) == {}
    at = datetime(2026, 1, 2, 3, 4, 5, 6000, UTC)
    add_row(server, "t", "SUCCESS", [1], at=at)
    add_row(server, "u", "FAILURE", {"exc_type": "ValueError", "exc_message": ["x"], "exc_module": "builtins"})
    got = backend.load_many(["t", "u"])
    assert (got["t"].status, got["t"].result, got["t"].date_done) == ("SUCCESS", [1], at.isoformat())
    assert (got["t"].traceback, got["t"].children) == (None, None)
    assert repr(got["u"].result) == "ValueError('x')"


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"serializer": "pickle"}], ids=str)
def test_columns_are_serialized_and_compressed_each(server: Server, options: dict[str, Any]) -> None:
    pickled = frozenset({"application/json", "application/x-python-serialize"})
    backend = backend_of(server, accept=pickled, **options)
    backend.store_many([ResultRecord("t", "SUCCESS", "x" * 100)])
    ((_, result, _, traceback, _),) = rows_of(server, "t")
    mark = b"\x00celery-compressed\x00application/x-gzip\x00" if "compression" in options else b"\x80"
    assert result.startswith(mark)
    assert traceback.startswith(mark)
    # Without our table, as with results of Celery's workers.
    server.tables["tasks_celeriac"].partitions.clear()
    assert backend.load_many(["t"])["t"].result == "x" * 100


def test_a_success_of_celerys_worker_is_not_overwritten(server: Server) -> None:
    backend = backend_of(server)
    backend.store_many([ResultRecord("t", "STARTED")])
    # Of one of them nothing is known here.
    for task_id, seconds in (("t", 1), ("u", -1)):
        add_row(server, task_id, "SUCCESS", 1, at=datetime.now(UTC) + timedelta(seconds=seconds))
        backend.store_many([ResultRecord(task_id, "FAILURE", ValueError("late"))])
        assert rows_of(server, task_id)[0][0] == "SUCCESS"
        assert backend.load_many([task_id])[task_id].result == 1


def test_states_of_celerys_workers_count_if_they_are_later(server: Server) -> None:
    backend = backend_of(server)
    backend.store_many([ResultRecord("t", "STARTED"), ResultRecord("u", "SUCCESS", 1)])
    for task_id in ("t", "u"):
        add_row(server, task_id, "RETRY", at=datetime.now(UTC) + timedelta(hours=1))
    got = backend.load_many(["t", "u"])
    assert [got[task_id].status for task_id in ("t", "u")] == ["RETRY", "SUCCESS"]
    # A state that comes after it is the last row, whatever the clocks say.
    backend.store_many([ResultRecord("t", "STARTED")])
    assert rows_of(server, "t")[0][0] == backend.load_many(["t"])["t"].status == "STARTED"


def test_rows_of_one_millisecond_do_not_replace_each_other_and_the_last_one_is_what_counts(server: Server) -> None:
    backend = backend_of(server)
    done = "2026-01-02T03:04:05.000006+00:00"
    # A worker whose clock is late finishes what another one failed.
    earlier = "2026-01-02T03:04:00.000000+00:00"
    for record in (
        ResultRecord("t", "FAILURE", ValueError("x"), date_done=done),
        ResultRecord("t", "RETRY", ValueError("x"), date_done=done),
        ResultRecord("t", "SUCCESS", 1, date_done=earlier),
        ResultRecord("t", "FAILURE", ValueError("y"), date_done=done),
    ):
        backend.store_many([record])
    rows = rows_of(server, "t")
    assert [row[0] for row in rows] == ["SUCCESS", "RETRY", "FAILURE"]
    assert [rows[0][2] - row[2] for row in rows] == [timedelta(milliseconds=number) for number in range(3)]
    got = backend.load_many(["t"])["t"]
    assert (got.status, got.date_done) == ("SUCCESS", earlier)


@pytest.mark.parametrize("words", [READ, "SELECT status"])
def test_a_result_that_comes_while_it_is_read_is_read_whole_or_not_at_all(server: MeddledServer, words: str) -> None:
    backend, other = backend_of(server), backend_of(server)
    record = ResultRecord("t", "SUCCESS", 1, extra={"name": "proj.add"})
    server.meddling = (words, None, lambda: other.store_many([record]))
    found = backend.load_many(["t"])
    assert rows_of(server, "t")
    assert [got.extra for got in found.values()] in ([], [{"name": "proj.add"}])


def test_forgotten_results_are_gone_from_both_tables(server: Server) -> None:
    backend = backend_of(server)
    backend.store_many([ResultRecord("t", "STARTED"), ResultRecord("u", "SUCCESS")])
    add_row(server, "v", "SUCCESS")
    server.faults.append((DELETE, Fault.LOST))
    backend.forget_many(["t", "u", "v"])
    assert [server.tables[name].partitions for name in ("tasks", "tasks_celeriac")] == [{}, {}]


def test_tables_are_made_when_they_are_missing(server: Server) -> None:
    backend = backend_of(server)
    backend.load_many(["t"])
    assert server.schema_changes == 2
    backend.close()
    assert server.open == 0
    backend.load_many(["t"])
    assert (server.schema_changes, server.open) == (2, 1)


def test_a_table_of_another_form_is_refused(server: Server) -> None:
    server.execute("CREATE TABLE IF NOT EXISTS tasks_celeriac (key text, data blob)")
    with pytest.raises(SessionRefused, match=r"tables tasks and tasks_celeriac of the keyspace ks .* Undefined column"):
        backend_of(server).load_many(["t"])
    assert server.open == 0


# --- transactions


def counted(server: Server, words: str) -> int:
    return sum(statement.text.startswith(words) for statement, _ in server.requests)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("expecting", [ABSENT, ANY], ids=["absent", "any"])
def test_a_creation_that_timed_out_is_settled(server: Server, fault: Fault, expecting: Any) -> None:
    driver, key = driver_of(server), "celeriac-claim-x"
    server.faults.append((CREATE, fault))
    assert driver.write(Entry(key, b"mine", None), expecting)
    assert driver.read([key])[key].data == b"mine"
    # What is known to be done is not done again.
    assert counted(server, CREATE) == (2 if fault is Fault.LOST else 1)
    assert not driver.write(Entry(key, b"theirs", None), ABSENT)


@pytest.mark.parametrize("fault", Fault)
def test_a_change_that_timed_out_is_settled(server: Server, fault: Fault) -> None:
    driver, key = driver_of(server), "celeriac-chord-x.tally"
    driver.write(Entry(key, b"1", None), ABSENT)
    seen = driver.read([key])[key].version
    server.faults += [(REPLACE, fault), (READ, Fault.LOST)]
    assert driver.write(Entry(key, b"2", None), seen)
    assert driver.read([key])[key].data == b"2"
    assert counted(server, REPLACE) == (2 if fault is Fault.LOST else 1)
    # Whoever saw the value before has lost.
    assert not driver.write(Entry(key, b"3", None), seen)


def test_reads_that_time_out_are_sent_again(server: Server) -> None:
    driver, keys = driver_of(server), [f"celeriac-x-{number}" for number in range(3)]
    driver.write_many([Entry(key, key.encode(), None) for key in keys])
    server.faults += [(READ, Fault.LOST)] * 5
    assert {key: stored.data.decode() for key, stored in driver.read(keys).items()} == dict(
        zip(keys, keys, strict=True)
    )
    assert not server.faults
    server.faults += [(READ, Fault.LOST)] * 3
    with pytest.raises(OperationalError, match="cassandra:// failed"), driver.errors():
        driver.read(keys[:1])


def test_a_change_in_flight_is_seen_by_serial_reads_only(server: Server) -> None:
    driver, group, chord = driver_of(server), "celery-taskset-meta-x", "celeriac-chord-x.tally"
    driver.read([])
    tables = driver._tables()
    for key, read in ((group, {}), (chord, {chord: b"1"})):
        server.faults.append((CREATE, Fault.IN_FLIGHT))
        with pytest.raises(client.UNDECIDED):
            tables.create(key, Value(b"1", uuid4()), 0)
        assert {key: stored.data for key, stored in driver.read([key]).items()} == read


@pytest.mark.parametrize("is_repeated", [False, True])
def test_a_change_that_others_followed_on_is_unknown(server: MeddledServer, is_repeated: bool) -> None:
    driver, other, key = driver_of(server), driver_of(server), "celeriac-chord-x.tally"
    driver.write(Entry(key, b"1", None), ABSENT)
    seen = driver.read([key])[key].version

    def meddle() -> None:
        assert other.write(Entry(key, b"3", None), other.read([key])[key].version)

    # The second attempt is refused, and the first may have been done before the others came.
    server.faults.append((REPLACE, Fault.LOST if is_repeated else Fault.DONE))
    if is_repeated:
        server.meddling = (REPLACE, None, lambda: setattr(server, "meddling", (REPLACE, None, meddle)))
    else:
        server.meddling = (READ, ConsistencyLevel.SERIAL, meddle)
    with pytest.raises(OperationalError, match=r"it is unknown whether celeriac-chord-x\.tally was changed"):
        driver.write(Entry(key, b"2", None), seen)
    assert driver.read([key])[key].data == b"3"


def test_a_change_nobody_can_tell_of_is_unknown(server: Server) -> None:
    driver = driver_of(server, timeout=0.0)
    server.faults += [(CREATE, Fault.DONE), (READ, Fault.LOST)]
    with pytest.raises(OperationalError, match=r"it is unknown whether celeriac-x was changed .* nobody could say"):
        driver.write(Entry("celeriac-x", b"1", None), ABSENT)
    server.faults.append((DELETE, Fault.DONE))
    with pytest.raises(OperationalError, match="it is unknown whether celeriac-x was deleted"):
        driver.delete(["celeriac-x"])


def test_a_repeated_change_nobody_can_tell_of_is_unknown(server: MeddledServer) -> None:
    driver, other, key = driver_of(server), driver_of(server), "celeriac-x"
    driver.write(Entry(key, b"1", None), ABSENT)
    seen = driver.read([key])[key].version

    def meddle() -> None:
        other.write(Entry(key, b"2", None), seen)
        driver._transactions._timeout = 0.0
        server.faults += [(READ, Fault.LOST)] * 3

    server.faults.append((REPLACE, Fault.LOST))
    server.meddling = (REPLACE, None, lambda: setattr(server, "meddling", (REPLACE, None, meddle)))
    with pytest.raises(OperationalError, match=r"it is unknown .* the first transaction timed out; since then nobody"):
        driver.write(Entry(key, b"3", None), seen)


def test_transactions_that_never_succeed_are_an_error(server: Server) -> None:
    driver = driver_of(server, timeout=0.0)
    server.faults.append((CREATE, Fault.LOST))
    with pytest.raises(OperationalError, match=r"celeriac-x was not kept in cassandra://: .* transactions timed out"):
        driver.write(Entry("celeriac-x", b"1", None), ABSENT)
    assert driver.write(Entry("celeriac-x", b"1", None), ABSENT)
    with pytest.raises(OperationalError, match="celeriac-x was not kept in cassandra://: others kept changing it"):
        driver.write(Entry("celeriac-x", b"2", None), ANY)


@pytest.mark.parametrize("fault", [None, *Fault])
def test_what_is_kept_whatever_is_there_is_the_last(server: MeddledServer, fault: Fault | None) -> None:
    driver, other, key = driver_of(server), driver_of(server), "celeriac-graph-x"
    driver.write(Entry(key, b"1", None))
    server.meddling = (REPLACE, None, lambda: other.write(Entry(key, b"2", None), other.read([key])[key].version))
    if fault is not None:
        server.faults.append((REPLACE, fault))
    assert driver.write(Entry(key, b"3", None))
    assert driver.read([key])[key].data == b"3"


def test_a_row_that_outlived_its_columns_is_no_value(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(emulator, "time", SimpleNamespace(time=lambda: now[0]))
    driver, key = driver_of(server), "celeriac-x"
    driver.write(Entry(key, b"1", None), ABSENT)
    driver.write(Entry(key, b"2", 10.0), driver.read([key])[key].version)
    assert driver.read([key])[key].data == b"2"
    now[0] += 10
    assert driver.read([key]) == {}
    assert driver.write(Entry(key, b"3", 20.0), ABSENT)
    assert driver.read([key])[key].data == b"3"
    assert not driver.write(Entry(key, b"4", 20.0), ABSENT)


def test_transactions_are_sent_once_and_decided_by_all_data_centres(server: Server) -> None:
    settings = {"cassandra_read_consistency": "one", "cassandra_write_consistency": "QUORUM"}
    backend = backend_of(server, settings=settings)
    backend.store_many([ResultRecord("t", "STARTED"), ResultRecord("t", "SUCCESS")])
    backend.keep_graphs({"g": b"graph"})
    backend.load_graph("g")
    backend.load_many(["t"])
    backend.forget_many(["t"])
    level = ConsistencyLevel
    for statement, parameters in server.requests:
        if statement.is_transaction:
            assert isinstance(statement.retry_policy, FallthroughRetryPolicy)
            assert (statement.consistency_level, statement.serial_consistency_level) == (level.QUORUM, level.SERIAL)
        elif statement.is_read:
            is_own = parameters[0].startswith("celeriac-")
            assert statement.consistency_level == (level.SERIAL if is_own else level.ONE)
        else:
            assert statement.consistency_level == level.QUORUM
            assert statement.table == "tasks"


# --- lifetimes


@pytest.mark.parametrize(
    ("expires", "entry_ttl", "ttl"),
    [(86400.0, None, 86400), (0.2, None, 1), (2.5, None, 3), (None, None, 0), (86400.0, 7.9, 8), (86400.0, 0, 0)],
)
def test_results_are_kept_for_whole_seconds(
    server: Server, expires: float | None, entry_ttl: float | None, ttl: int
) -> None:
    backend = backend_of(server, expires=expires, settings={"cassandra_entry_ttl": entry_ttl, "task_graph_expires": 9})
    backend.store_many([ResultRecord("t", "SUCCESS")])
    backend.save_group("g", [["g", None], []])
    backend.keep_graphs({"g": b"graph"})
    given = {parameters[0]: parameters[-1] for statement, parameters in server.requests if not statement.is_read}
    graph = max(9, expires or 0)
    assert given == {
        "t": ttl,
        "celery-task-meta-t": ttl,
        "celery-taskset-meta-g": ttl,
        "celeriac-graph-g": graph,
    }


def test_large_values_are_refused(server: Server) -> None:
    with pytest.raises(BackendStoreError, match="celeriac-x has 16,777,217 bytes, but cassandra:// keeps up to"):
        driver_of(server).write(Entry("celeriac-x", bytes((16 << 20) + 1), None))


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cassandra_keyspace": None}, "need the setting cassandra_keyspace"),
        ({"cassandra_table": None}, "need the setting cassandra_table"),
        ({"cassandra_table": "a; DROP TABLE b"}, "cassandra_table is 'a; DROP .* names are of letters"),
        ({"cassandra_keyspace": "9ks"}, "cassandra_keyspace is '9ks', but names are of letters"),
        ({"cassandra_table": "t" * 40}, "of 40 characters; the longest name has 39"),
        ({"cassandra_servers": None}, "need one of the settings .*; none is set"),
        ({"cassandra_secure_bundle_path": "b.zip"}, "need only one of the settings .*; both are set"),
        ({"cassandra_servers": None, "cassandra_secure_bundle_path": "/no/b.zip"}, "'/no/b.zip', where there is no"),
        ({"cassandra_port": "cql"}, "cassandra_port is 'cql', which is no number"),
        ({"cassandra_read_consistency": "some"}, "cassandra_read_consistency is 'some'; what can .* ALL, EACH_QUORUM"),
        ({"cassandra_read_consistency": "ANY"}, "cassandra_read_consistency is 'ANY'; what can be used is ALL"),
        ({"cassandra_write_consistency": "SERIAL"}, "cassandra_write_consistency is 'SERIAL'; what can be used is ALL"),
        ({"cassandra_auth_provider": "Nobody"}, "'Nobody', which is no class .*PlainTextAuthProvider, "),
        ({"cassandra_auth_provider": "PlainTextAuthenticator"}, "which is no class of cassandra.auth to log in with"),
        ({"cassandra_auth_provider": "PlainTextAuthProvider"}, "cassandra_auth_kwargs does not fit PlainTextAuthProv"),
        ({"cassandra_auth_kwargs": {"username": "u"}}, "cassandra_auth_kwargs is set, but cassandra_auth_provider"),
        ({"cassandra_options": {"port": 1}}, "cassandra_options holds 'port', which is set by cassandra_port"),
        ({"cassandra_options": {"protocol_versio": 4}}, "no argument of .*Cluster; did you mean 'protocol_version'"),
        ({"cassandra_entry_ttl": -1}, "cassandra_entry_ttl is -1; Cassandra takes 0 to 630,720,000 seconds"),
        ({"cassandra_entry_ttl": 1e9}, "cassandra_entry_ttl is 1000000000.0; Cassandra takes 0 to"),
    ],
)
def test_wrong_settings_are_one_clear_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        open_backend("cassandra://", BackendOptions(settings={**SETTINGS, **settings}))


def test_wrong_settings_of_others_are_as_clear(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="have their place in the settings: set result_backend = 'cassandra"):
        open_backend("cassandra://user:secret@host/ks", BackendOptions(settings=SETTINGS))
    with pytest.raises(ImproperlyConfigured, match=r"result_expires is 1000000000\.0; Cassandra takes"):
        open_backend("cassandra://", BackendOptions(settings=SETTINGS, expires=1e9))
    both = BackendOptions(settings={**SETTINGS, "cassandra_entry_ttl": 5}, failure_expires=10.0)
    with pytest.raises(ImproperlyConfigured, match="result_failure_expires has no effect: unset one of them"):
        open_backend("cassandra://", both)
    bundle = tmp_path / "bundle.zip"
    bundle.touch()
    there = {**SETTINGS, "cassandra_servers": None, "cassandra_secure_bundle_path": str(bundle)}
    with pytest.raises(ImproperlyConfigured, match="a bundle says the port itself"):
        open_backend("cassandra://", BackendOptions(settings={**there, "cassandra_port": 9042}))
    # The bundle is looked into by the client.
    with pytest.raises(ImproperlyConfigured, match=r"cassandra_\* cannot be used: Unable to open the zip file"):
        open_backend("cassandra://", BackendOptions(settings=there)).load_many(["t"])


@pytest.mark.parametrize("name", ["cassandra_secure_bundle_path", "cassandra_bundle_path"])
def test_a_bundle_takes_the_place_of_servers(server: Server, tmp_path: Path, name: str) -> None:
    bundle = tmp_path / "bundle.zip"
    bundle.touch()
    backend_of(server, settings={"cassandra_servers": None, name: str(bundle)}).load_many(["t"])
    (given,) = server.connections
    assert given["cloud"] == {"secure_connect_bundle": str(bundle)}
    assert not given.keys() & {"contact_points", "port", "execution_profiles"}


@pytest.mark.parametrize("option", ["execution_profiles", "load_balancing_policy", "default_retry_policy"])
def test_who_is_asked_may_be_set(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    server = Server()
    backends = [backend_of(server, settings={"cassandra_options": given}) for given in ({}, {option: "given"})]
    monkeypatch.setattr(access, "Cluster", server.cluster)
    for backend in backends:
        backend.load_many(["t"])
    first, second = server.connections
    assert isinstance(first["execution_profiles"][EXEC_PROFILE_DEFAULT].load_balancing_policy, TokenAwarePolicy)
    assert second[option] == "given"
    # The client refuses both.
    assert ("execution_profiles" in second) == (option == "execution_profiles")


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({}, {"contact_points": ["there"], "port": 9042, "auth_provider": None, "connect_timeout": 4.0}),
        ({"cassandra_servers": "a, b", "cassandra_port": "9043"}, {"contact_points": ["a", "b"], "port": 9043}),
        ({"cassandra_servers": ("a",), "cassandra_port": 9043}, {"contact_points": ["a"], "port": 9043}),
        ({"cassandra_options": {"connect_timeout": 1, "executor_threads": 4}}, {"connect_timeout": 1, "port": 9042}),
        ({"cassandra_options": {"executor_threads": 4}}, {"connect_timeout": 4.0, "executor_threads": 4}),
    ],
)
def test_settings_are_arguments_of_the_cluster(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], given: dict[str, Any]
) -> None:
    backend = open_backend("cassandra", BackendOptions(settings={**SETTINGS, **settings}))
    server = Server()
    monkeypatch.setattr(access, "Cluster", server.cluster)
    backend.load_many(["t"])
    assert server.connections[0].items() >= given.items()


@pytest.mark.parametrize("arguments", [{"username": "u", "password": "p"}, '{"username": "u", "password": "p"}'])
def test_who_logs_in_is_in_the_settings(server: Server, arguments: Any) -> None:
    settings = {"cassandra_auth_provider": "PlainTextAuthProvider", "cassandra_auth_kwargs": arguments}
    backend_of(server, settings=settings).load_many(["t"])
    provider = server.connections[0]["auth_provider"]
    assert isinstance(provider, PlainTextAuthProvider)
    assert (provider.username, provider.password) == ("u", "p")


# --- the client


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (NoHostAvailable("none", {"a": OSError("down")}), OperationalError, "cassandra:// cannot be reached"),
        (NoHostAvailable("none", {"a": AuthenticationFailed("bad")}), SessionRefused, "cassandra:// refused: bad"),
        (Unauthorized("no"), SessionRefused, "cassandra:// refused: no"),
        (InvalidRequest("too large"), BackendStoreError, "cassandra:// cannot do what it was asked: too large"),
        (OperationTimedOut(), OperationalError, "cassandra:// failed"),
        (Unavailable("few"), OperationalError, "cassandra:// failed"),
        (ConnectionShutdown("gone"), OperationalError, "cassandra:// failed: gone"),
        (OSError("no network"), OperationalError, "cassandra:// cannot be reached: no network"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_have_our_names(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message), client.translated("cassandra://"):
        raise error


@pytest.mark.parametrize("factory", [named_tuple_factory, tuple_factory, dict_factory])
def test_answers_are_read_whatever_rows_are_made_of(factory: Callable[..., Any]) -> None:
    names = ["[applied]", "key", "version"]

    def answer(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
        return _named(ResultSet(SimpleNamespace(_col_names=names, _col_types=None), factory(names, rows)))

    assert answer([(False, "k", None)]) == {"[applied]": False, "key": "k", "version": None}
    assert answer([]) == _named(ResultSet(SimpleNamespace(_col_names=None, _col_types=None), None)) == {}


def test_the_client_sends_what_is_meant_and_understands_the_answers() -> None:
    server = Server()
    wire = Wire(server)
    with serve(wire) as port:
        place = {"cassandra_servers": ["127.0.0.1"], "cassandra_port": port, "cassandra_options": CLIENT_OPTIONS}
        options = BackendOptions(settings={**SETTINGS, **place}, connect_timeout=PATIENCE, timeout=PATIENCE)
        backend = open_backend("cassandra://", options)
        assert backend.load_many(["t"]) == {}
        for record in (
            ResultRecord("t", "STARTED"),
            ResultRecord("t", "SUCCESS", {"a": "č"}, date_done="2026-01-02T03:04:05.678+01:00", group_id="g"),
            ResultRecord("t", "FAILURE", ValueError("late")),
        ):
            backend.store_many([record])
        got = backend.load_many(["t"])["t"]
        assert (got.status, got.result, got.group_id) == ("SUCCESS", {"a": "č"}, "g")
        add_row(server, "u", "SUCCESS", [1], at=datetime(2026, 1, 2, 3, 4, 5, 6000, UTC))
        assert backend.load_many(["u"])["u"].date_done == "2026-01-02T03:04:05.006000+00:00"
        for fault in Fault:
            server.faults += [(CREATE, fault), (READ, Fault.LOST)]
            assert [backend.claim(fault.name, token) for token in ("mine", "theirs")] == ["mine", "mine"]
        backend.forget_many(["t", "u"])
        assert backend.load_many(["t", "u"]) == {}
        backend.close()
    level = ConsistencyLevel
    assert wire.levels == {
        ("SELECT data, version, status, shown_at FROM tasks_celeriac WHERE key = ?", level.LOCAL_QUORUM, None),
        ("SELECT data, version, status, shown_at FROM tasks_celeriac WHERE key = ?", level.SERIAL, None),
        ("SELECT status, result, date_done, traceback, children FROM tasks WHERE task_id = ? LIMIT 1", 6, None),
        ("INSERT INTO tasks", level.LOCAL_QUORUM, None),
        ("INSERT INTO tasks_celeriac", level.LOCAL_QUORUM, level.SERIAL),
        (
            "UPDATE tasks_celeriac USING TTL ? SET data = ?, version = ?, status = ?, shown_at = ? "
            "WHERE key = ? IF version = ?",
            level.LOCAL_QUORUM,
            level.SERIAL,
        ),
        ("DELETE FROM tasks WHERE task_id = ?", level.LOCAL_QUORUM, None),
        ("DELETE FROM tasks_celeriac WHERE key = ? IF EXISTS", level.LOCAL_QUORUM, level.SERIAL),
    }


def test_what_was_not_begun_is_not_asked_again() -> None:
    class Tables:
        """Refuse everything."""

        asked = 0

        def refuse(self, *arguments: object) -> None:
            self.asked += 1
            raise InvalidRequest("no")

        create = replace = delete = settled = refuse

    tables: Any = Tables()
    transactions = Transactions(lambda: tables, 10.0, "cassandra://")
    with pytest.raises(InvalidRequest):
        transactions.keep("k", lambda shown_at: Value(b"", uuid4()), 0, Seen())
    with pytest.raises(InvalidRequest):
        transactions.delete("k")
    assert tables.asked == 2


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_server_that_is_not_there_is_an_error_in_time(is_silent: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if is_silent:
            listener.listen()
        place = {"cassandra_servers": ["127.0.0.1"], "cassandra_port": listener.getsockname()[1]}
        options = BackendOptions(settings={**SETTINGS, **place}, connect_timeout=0.2, timeout=0.2)
        backend = open_backend("cassandra://", options)
        started = time.monotonic()
        with pytest.raises(OperationalError, match="cassandra:// cannot be reached"):
            backend.load_many(["t"])
        assert time.monotonic() - started < 2 + SLACK
        backend.close()


def test_a_missing_event_loop_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loopless(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            raise DependencyException("none of asyncore, libev", [])

    for name in [name for name in sys.modules if name.startswith("celeriac.backend.kv.cassandra")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cassandra.cluster", Loopless("cassandra.cluster"))
    with pytest.raises(ImproperlyConfigured, match="need an event loop that cassandra-driver finds none of"):
        open_backend("cassandra://", BackendOptions(settings=SETTINGS))
