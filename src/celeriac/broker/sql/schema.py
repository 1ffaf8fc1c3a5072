"""Tables and statements that all SQL brokers share, written once for three dialects.  It runs nothing.

A message row is in one of three states: *waiting* (``session`` and ``visible_at`` are NULL), *delayed*
(``visible_at`` is set) or *held* (``session`` is set).  Settling deletes it, or makes it waiting or delayed
again; every statement that settles names the session and asks that its lease is running, so that it does
nothing for a session that lost its messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

#: Raised when a table changes in a way that older versions cannot work with.
VERSION: Final = 1

#: Columns of a message's content, in the order of `celeriac.broker.sql.envelope.Row`.
CONTENT: Final = "exchange, routing_key, content_type, content_encoding, headers, properties, body"

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS celeriac_meta (
        name {name} NOT NULL PRIMARY KEY,
        value {name} NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS celeriac_sessions (
        id {serial},
        lease_until {real} NOT NULL,
        lease {real} NOT NULL
    )""",
    # precedence is the negated priority: every index can then be read forwards, which all three databases
    # can.
    """CREATE TABLE IF NOT EXISTS celeriac_messages (
        id {serial},
        queue {name} NOT NULL,
        precedence INTEGER NOT NULL DEFAULT 0,
        visible_at {real},
        session BIGINT,
        deliveries INTEGER NOT NULL DEFAULT 0,
        expires_at {real},
        exchange {name} NOT NULL DEFAULT '',
        routing_key {name} NOT NULL DEFAULT '',
        content_type {name} NOT NULL DEFAULT '',
        content_encoding {name} NOT NULL DEFAULT '',
        headers {text},
        properties {text},
        body {blob} NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS celeriac_dead_letters (
        id {serial},
        queue {name} NOT NULL,
        reason {text} NOT NULL,
        dead_at {real} NOT NULL,
        deliveries INTEGER NOT NULL,
        exchange {name} NOT NULL,
        routing_key {name} NOT NULL,
        content_type {name} NOT NULL,
        content_encoding {name} NOT NULL,
        headers {text},
        properties {text},
        body {blob} NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS celeriac_bindings (
        id {serial},
        exchange {name} NOT NULL,
        type {name} NOT NULL,
        binding_key {name} NOT NULL,
        queue {name} NOT NULL
    )""",
    # Only queues whose lifetime is limited have a row here.
    """CREATE TABLE IF NOT EXISTS celeriac_queues (
        name {name} NOT NULL PRIMARY KEY,
        expires {real},
        message_ttl {real},
        transient INTEGER NOT NULL,
        used_at {real} NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS celeriac_consumers (
        queue {name} NOT NULL,
        session BIGINT NOT NULL,
        PRIMARY KEY (queue, session)
    )""",
)

#: Name, table, columns, and the condition of the rows that it needs: an index stays small if only the rows
#: of one state are in it. MySQL has no such indexes; there all rows are.
_INDEXES: Final = (
    (
        "celeriac_messages_waiting",
        "celeriac_messages",
        ("queue", "precedence", "id"),
        "session IS NULL AND visible_at IS NULL",
    ),
    ("celeriac_messages_delayed", "celeriac_messages", ("queue", "visible_at"), "visible_at IS NOT NULL"),
    ("celeriac_messages_held", "celeriac_messages", ("session",), "session IS NOT NULL"),
    ("celeriac_bindings_key", "celeriac_bindings", ("exchange", "queue", "binding_key"), None),
)


@dataclass(frozen=True)
class Dialect:
    """How one database differs from the others.

    Attributes:
        name: Name of the broker.
        serial, name_type, text, blob, real: Column types; ``serial`` is a primary key that counts up.
        ids: A condition on ``id``, with one parameter from the store's ``ids_parameter``.
        now: Unix time in seconds.
        lease_now: The clock of leases in seconds.
        lapsed: The condition on a session's row that its lease ran out.
        parameter: The mark of a parameter.
        partial_indexes: An index can leave rows out.
    """

    name: str
    serial: str
    name_type: str
    text: str
    blob: str
    real: str
    ids: str
    now: str
    lease_now: str
    lapsed: str
    parameter: str = "%s"
    partial_indexes: bool = True


def create_statements(dialect: Dialect) -> list[str]:
    """Statements that create what is missing; each may be run again."""
    types = {
        "serial": dialect.serial,
        "name": dialect.name_type,
        "text": dialect.text,
        "blob": dialect.blob,
        "real": dialect.real,
    }
    tables = [table.format(**types) for table in _TABLES]
    return tables + [_index(dialect, *index) for index in _INDEXES]


def _index(dialect: Dialect, name: str, table: str, columns: tuple[str, ...], condition: str | None) -> str:
    where = f" WHERE {condition}" if condition and dialect.partial_indexes else ""
    if name.endswith("_waiting") and not dialect.partial_indexes:
        columns = ("queue", "session", "visible_at", "precedence", "id")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({', '.join(columns)}){where}"


class Statements:
    """The statements of one dialect.

    Args:
        dialect: The dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        def text(template: str) -> str:
            filled = template.format(
                ids=dialect.ids,
                now=dialect.now,
                lease_now=dialect.lease_now,
                lapsed=dialect.lapsed,
                content=CONTENT,
                alive=_ALIVE.format(lease_now=dialect.lease_now),
                orphaned=_ORPHANED,
                unused=_UNUSED.format(now=dialect.now),
                expired=_EXPIRED.format(now=dialect.now),
            )
            return filled.replace("%s", dialect.parameter)

        self.version = text("SELECT value FROM celeriac_meta WHERE name = 'schema_version'")
        self.set_version = text("INSERT INTO celeriac_meta (name, value) VALUES ('schema_version', %s)")

        self.insert_message = text(
            "INSERT INTO celeriac_messages (queue, precedence, visible_at, expires_at, {content}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        )
        # Leases
        self.open_session = text("INSERT INTO celeriac_sessions (lease_until, lease) VALUES ({lease_now} + %s, %s)")
        self.renew = text(
            "UPDATE celeriac_sessions SET lease_until = {lease_now} + lease WHERE id = %s AND NOT ({lapsed})"
        )
        self.alive = text("SELECT 1 FROM celeriac_sessions WHERE id = %s AND NOT ({lapsed})")
        self.lapsed_sessions = text("SELECT id FROM celeriac_sessions WHERE {lapsed} ORDER BY id LIMIT 100")
        self.orphaned_sessions = text("SELECT DISTINCT session FROM celeriac_messages m WHERE {orphaned} LIMIT 100")
        self.litter = text(
            "SELECT EXISTS (SELECT 1 FROM celeriac_sessions WHERE {lapsed}), "
            "EXISTS (SELECT 1 FROM celeriac_messages m WHERE {orphaned}), "
            "EXISTS (SELECT 1 FROM celeriac_queues WHERE {unused}), "
            "EXISTS (SELECT 1 FROM celeriac_messages WHERE {expired})"
        )
        self.held_ids = text("SELECT id, queue FROM celeriac_messages WHERE session = %s")
        self.held_by = text("SELECT id, queue FROM celeriac_messages WHERE session = %s ORDER BY id LIMIT 1000")
        self.free = text(
            "UPDATE celeriac_messages SET session = NULL, deliveries = deliveries + %s WHERE {ids} AND session = %s"
        )
        self.hold = text(
            "UPDATE celeriac_messages SET session = %s WHERE {ids} AND session IS NULL AND visible_at IS NULL"
        )
        self.end_session = text("DELETE FROM celeriac_sessions WHERE id = %s")

        # Settling
        self.ack = text("DELETE FROM celeriac_messages WHERE {ids} AND session = %s AND {alive}")
        self.requeue = text(
            "UPDATE celeriac_messages SET session = NULL, deliveries = deliveries + %s "
            "WHERE {ids} AND session = %s AND {alive}"
        )
        self.defer = text(
            "UPDATE celeriac_messages SET session = NULL, visible_at = %s WHERE id = %s AND session = %s AND {alive}"
        )
        self.bury = text(
            "INSERT INTO celeriac_dead_letters (queue, reason, dead_at, deliveries, {content}) "
            "SELECT queue, %s, {now}, deliveries + 1, {content} FROM celeriac_messages "
            "WHERE id = %s AND session = %s AND {alive}"
        )
        self.dead_letters = text(
            "SELECT id, queue, reason, dead_at, deliveries, {content} FROM celeriac_dead_letters "
            "ORDER BY id DESC LIMIT %s"
        )
        self.count_dead_letters = text("SELECT COUNT(*) FROM celeriac_dead_letters")
        self.remove_dead_letters = text("DELETE FROM celeriac_dead_letters WHERE {ids}")
        # Delays
        self.due = text("(SELECT MIN(visible_at) FROM celeriac_messages WHERE queue = %s AND visible_at IS NOT NULL)")
        self.waits = text(
            "EXISTS (SELECT 1 FROM celeriac_messages WHERE queue = %s AND session IS NULL AND visible_at IS NULL)"
        )
        self.now = text("{now}")

        self._make_queues(text)
        self._make_notices(text)

    def _make_queues(self, text: Callable[[str], str]) -> None:
        """Queues, bindings, and who consumes them."""
        self.purge = text("DELETE FROM celeriac_messages WHERE queue = %s AND session IS NULL")
        self.depth = text(
            "SELECT COUNT(*) FROM celeriac_messages WHERE queue = %s AND session IS NULL AND visible_at IS NULL"
        )
        self.delayed = text("SELECT COUNT(*) FROM celeriac_messages WHERE queue = %s AND visible_at IS NOT NULL")
        self.bindings_of = text(
            "SELECT b.exchange, b.type, b.binding_key, b.queue, q.message_ttl FROM celeriac_bindings b "
            "LEFT JOIN celeriac_queues q ON q.name = b.queue WHERE b.exchange = %s ORDER BY b.id"
        )
        self.bindings_to = text("SELECT exchange, type, binding_key, queue FROM celeriac_bindings WHERE queue = %s")
        self.add_binding = text(
            "INSERT INTO celeriac_bindings (exchange, type, binding_key, queue) VALUES (%s, %s, %s, %s)"
        )
        self.drop_bindings = text("DELETE FROM celeriac_bindings WHERE queue = %s")
        self.lifetime = text("SELECT expires, message_ttl, transient FROM celeriac_queues WHERE name = %s")
        self.add_lifetime = text(
            "INSERT INTO celeriac_queues (name, expires, message_ttl, transient, used_at) "
            "VALUES (%s, %s, %s, %s, {now})"
        )
        self.use_queue = text("UPDATE celeriac_queues SET used_at = {now} WHERE name = %s")
        self.drop_lifetime = text("DELETE FROM celeriac_queues WHERE name = %s")
        self.add_consumer = text("INSERT INTO celeriac_consumers (queue, session) VALUES (%s, %s)")
        self.consumed_by = text("SELECT queue FROM celeriac_consumers WHERE session = %s")
        self.drop_consumers = text("DELETE FROM celeriac_consumers WHERE session = %s")
        self.idle_transient = text(
            "SELECT name FROM celeriac_queues WHERE name = %s AND transient = 1 "
            "AND NOT EXISTS (SELECT 1 FROM celeriac_consumers c WHERE c.queue = name)"
        )
        self.expired_queues = text("SELECT name FROM celeriac_queues WHERE {unused}")
        self.drop_all_expired = text("DELETE FROM celeriac_messages WHERE {expired}")
        self.drop_expired = text(
            "DELETE FROM celeriac_messages WHERE queue = %s AND session IS NULL AND expires_at <= {now}"
        )

    def _make_notices(self, text: Callable[[str], str]) -> None:
        """Notices are messages of a queue that nobody consumes."""
        self.notices = text(
            "SELECT body FROM celeriac_messages WHERE queue = %s AND session IS NULL AND visible_at IS NULL "
            "AND expires_at > {now} ORDER BY id"
        )
        self.newest_notices = text(
            "SELECT id FROM celeriac_messages WHERE queue = %s AND session IS NULL AND visible_at IS NULL "
            "ORDER BY id DESC LIMIT 1 OFFSET %s"
        )
        self.drop_notices = text("DELETE FROM celeriac_messages WHERE queue = %s AND session IS NULL AND id <= %s")
        self.audience = text(
            "SELECT b.exchange, b.type, b.binding_key, b.queue, q.message_ttl, "
            "(SELECT COUNT(DISTINCT c.session) FROM celeriac_bindings a JOIN celeriac_consumers c "
            "ON c.queue = a.queue JOIN celeriac_sessions s ON s.id = c.session "
            "WHERE a.exchange = %s AND NOT ({lapsed})) FROM celeriac_bindings b "
            "LEFT JOIN celeriac_queues q ON q.name = b.queue WHERE b.exchange = %s ORDER BY b.id"
        )


_ALIVE: Final = "EXISTS (SELECT 1 FROM celeriac_sessions WHERE id = %s AND lease_until > {lease_now})"
#: Messages whose session is gone; queues that nobody used for their time; messages that waited for longer than theirs.
_ORPHANED: Final = "session IS NOT NULL AND NOT EXISTS (SELECT 1 FROM celeriac_sessions s WHERE s.id = m.session)"
_UNUSED: Final = (
    "expires IS NOT NULL AND used_at + expires <= {now} "
    "AND NOT EXISTS (SELECT 1 FROM celeriac_consumers c WHERE c.queue = name)"
)
_EXPIRED: Final = (
    "queue IN (SELECT name FROM celeriac_queues WHERE message_ttl IS NOT NULL) "
    # As the index of waiting messages has it.
    "AND session IS NULL AND visible_at IS NULL AND expires_at <= {now}"
)
