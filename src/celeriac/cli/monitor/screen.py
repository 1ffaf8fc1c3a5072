"""The monitor in the terminal, drawn by Textual.  A thread receives events; the screen looks at what came."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Label, Sparkline, Static, TabbedContent, TabPane

from celeriac.cli.monitor.view import Filter, Rates, details, task_rows, worker_rows
from celeriac.events.following import follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.binding import BindingType

    from celeriac.app.base import Celery
    from celeriac.events.records import Task

__all__ = ["Monitor"]

#: Seconds between two looks.
REFRESH = 0.5
COLOURS: Final = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "REVOKED": "magenta",
    "REJECTED": "magenta",
    "RETRY": "yellow",
    "STARTED": "cyan",
    "online": "green",
    "offline": "red",
}
_TASK_COLUMNS = ("State", "Time", "Task", "Arguments", "Worker", "Took", "Id")
_WORKER_COLUMNS = ("Worker", "Status", "Active", "Done", "Load", "Pid", "Software")
_RATES = (("task-received", "received"), ("task-succeeded", "succeeded"), ("task-failed", "failed"))


class Details(ModalScreen[None]):
    """Everything about one task.

    Args:
        task: The task.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._shown = task

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="details"):
            for name, value in details(self._shown):
                with Horizontal(classes="field"):
                    yield Label(name, classes="name")
                    yield Static(value, markup=False)
            if self._shown.traceback:
                yield Static(str(self._shown.traceback), id="traceback", markup=False)
        yield Footer()


class Question(ModalScreen[str | None]):
    """One line to type, or to confirm.

    Args:
        text: What is asked.
        value: What stands there at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, text: str, value: str = "") -> None:
        super().__init__()
        self._text, self._value = text, value

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Label(self._text, markup=False)
            yield Input(self._value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        self.dismiss(event.value.strip())

    def action_cancel(self) -> None:
        """Do nothing."""
        self.dismiss(None)


class Monitor(App[None]):
    """The monitor.

    Args:
        app: The application whose broker is watched.
        receive: Receives events until it is stopped, as `follow` does.
    """

    TITLE = "celeriac events"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { height: 3; padding: 0 1; }
    #summary .rate { width: 1fr; height: 3; }
    #summary Sparkline { height: 2; }
    #status { height: 1; padding: 0 1; color: $text-muted; }
    #filter { display: none; }
    #filter.shown { display: block; }
    TabbedContent, ContentSwitcher, TabPane, DataTable { height: 1fr; }
    TabPane { padding: 0; }
    Details, Question { align: center middle; }
    #details { width: 90%; height: 85%; border: round $primary; background: $surface; padding: 1 2; }
    #question { width: 70; height: auto; border: round $primary; background: $surface; padding: 1 2; }
    .field { height: auto; }
    .name { width: 14; color: $text-muted; }
    #traceback { margin-top: 1; color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("slash", "filter", "Filter"),
        Binding("f", "only('state:failed')", "Failed"),
        Binding("a", "only('')", "All"),
        Binding("space", "pause", "Pause"),
        Binding("1", "tab('tasks')", "Tasks", show=False),
        Binding("2", "tab('workers')", "Workers", show=False),
        Binding("c", "revoke", "Revoke"),
        Binding("l", "rate_limit", "Rate limit"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
        Binding("i", "details", "Details"),
    ]

    def __init__(self, app: Celery, receive: Callable[..., None] = follow) -> None:
        super().__init__()
        self.celery = app
        self.state = app.events.State()
        self.rates = Rates()
        self.filter = Filter()
        self.paused = False
        self._receive = receive
        self._stop = threading.Event()
        self._status = "connecting…"
        self._thread = threading.Thread(target=self._listen, name="events", daemon=True)

    # -- receiving, in a thread ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            self._receive(
                self.celery, {"*": self.take}, on_connected=self._connected, on_lost=self._lost, stop=self._stop
            )
        except Exception as exc:
            self._status = f"cannot receive events: {exc}"

    def take(self, event: dict[str, Any]) -> None:
        """Take an event in."""
        self.state.event(event)
        self.rates.count(event["type"])

    def _connected(self, url: str) -> None:
        self._status = url

    def _lost(self, exc: Exception, pause: float) -> None:
        self._status = f"the connection is lost, trying again in {pause:g} s: {exc}"

    # -- the screen ---------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Horizontal(id="summary"):
            for type_, _ in _RATES:
                with Vertical(classes="rate"):
                    yield Label(id=f"rate-{type_}")
                    yield Sparkline([0], id=f"curve-{type_}")
        with TabbedContent(initial="tasks"):
            with TabPane("Tasks", id="tasks"):
                yield Input(placeholder="words, state:failed, worker:w1, name:add", id="filter")
                yield DataTable(id="task-table", cursor_type="row", zebra_stripes=True)
            with TabPane("Workers", id="workers"):
                yield DataTable(id="worker-table", cursor_type="row", zebra_stripes=True)
        yield Static(id="status", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to receive and to look."""
        self._table("task-table").add_columns(*_TASK_COLUMNS)
        self._table("worker-table").add_columns(*_WORKER_COLUMNS)
        self._table("task-table").focus()
        self._thread.start()
        self.look()
        self.set_interval(REFRESH, self.look)

    def on_unmount(self) -> None:
        """Receive no more."""
        self._stop.set()

    def _table(self, name: str) -> DataTable[Any]:
        return self.screen_stack[0].query_one(f"#{name}", DataTable)

    def look(self) -> None:
        """Draw what is known now."""
        try:
            self._draw()
        except NoMatches:
            # The screen is being taken down.
            return

    def _draw(self) -> None:
        base = self.screen_stack[0]
        for type_, name in _RATES:
            base.query_one(f"#rate-{type_}", Label).update(f"{name} {self.rates.per_second(type_):,.1f}/s")
            base.query_one(f"#curve-{type_}", Sparkline).data = self.rates.curve(type_)
        base.query_one("#status", Static).update(self._status_line())
        if not self.paused:
            _fill(self._table("task-table"), task_rows(self.state, self.filter), lambda row: row.uuid)
            _fill(self._table("worker-table"), worker_rows(self.state), lambda row: row.hostname)

    def _status_line(self) -> str:
        state = self.state
        alive = sum(1 for _ in state.alive_workers())
        parts = [self._status, f"{alive} workers", f"{len(state.tasks)} tasks", f"{state.event_count} events"]
        if self.filter.text:
            parts.append(f"filter: {self.filter.text}")
        if self.paused:
            parts.append("paused")
        return " · ".join(parts)

    def _selected(self) -> Task | None:
        """The task under the cursor."""
        table = self._table("task-table")
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return self.state.tasks.get(str(key))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter."""
        if event.data_table.id == "task-table":
            self.action_details()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The filter works while it is typed."""
        if event.input.id == "filter":
            self.filter = Filter(event.value)
            self.look()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the tasks."""
        if event.input.id == "filter":
            self._table("task-table").focus()

    # -- keys ---------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Type a filter."""
        self.action_tab("tasks")
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_only(self, text: str) -> None:
        """Use a filter."""
        field = self.query_one("#filter", Input)
        field.set_class(bool(text), "shown")
        field.value = text
        self._table("task-table").focus()

    def action_pause(self) -> None:
        """Leave the tables as they are, or go on."""
        self.paused = not self.paused
        self.look()

    def action_tab(self, name: str) -> None:
        """Show tasks or workers."""
        self.query_one(TabbedContent).active = name
        self._table(f"{name.removesuffix('s')}-table").focus()

    def action_move(self, by: int) -> None:
        """Move the cursor, as the arrows do."""
        if isinstance(table := self.focused, DataTable):
            table.move_cursor(row=table.cursor_row + by)

    def action_details(self) -> None:
        """Show everything about a task."""
        if (task := self._selected()) is not None:
            self.push_screen(Details(task))

    def action_revoke(self) -> None:
        """Have workers not run a task."""
        if (task := self._selected()) is None:
            return

        def revoke(answer: str | None) -> None:
            if answer is not None:
                terminate = answer.lower() == "terminate"
                self._control(lambda control: control.revoke(task.uuid, terminate=terminate), f"revoked {task.uuid}")

        self.push_screen(
            Question(f"Revoke {task.name} {task.uuid}? Enter: yes; 'terminate' ends it if it runs; Escape: no."), revoke
        )

    def action_rate_limit(self) -> None:
        """Limit how often a task runs."""
        if (task := self._selected()) is None or not task.name:
            return

        def limit(rate: str | None) -> None:
            if rate:
                self._control(lambda control: control.rate_limit(task.name, rate), f"{task.name}: {rate}")

        self.push_screen(Question(f"Rate limit of {task.name}, as in 10/m; 0 is none:"), limit)

    def _control(self, command: Callable[[Any], Any], done: str) -> None:
        """Send a command to the workers, beside the screen."""

        def send() -> None:
            try:
                command(self.celery.control)
            except Exception as exc:
                self.call_from_thread(self.notify, str(exc), severity="error", markup=False)
            else:
                self.call_from_thread(self.notify, done, markup=False)

        threading.Thread(target=send, name="control", daemon=True).start()


def _fill(table: DataTable[Any], rows: list[Any], key_of: Callable[[Any], str]) -> None:
    """Show rows, and leave the cursor on the one it is on."""
    keys = [key_of(row) for row in rows]
    if [key.value for key in table.rows] == keys:
        _update(table, rows, keys)
        return
    selected = None
    if table.row_count:
        selected = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
    scrolled = table.scroll_y
    table.clear()
    for key, row in zip(keys, rows, strict=True):
        table.add_row(*_cells(row), key=key)
    if selected in keys:
        table.move_cursor(row=keys.index(selected), animate=False, scroll=False)
        table.scroll_to(y=scrolled, animate=False)


def _update(table: DataTable[Any], rows: list[Any], keys: list[str]) -> None:
    columns = list(table.columns)
    for key, row in zip(keys, rows, strict=True):
        for column, cell in zip(columns, _cells(row), strict=True):
            if table.get_cell(key, column) != cell:
                table.update_cell(key, column, cell)


def _cells(row: Any) -> list[Any]:
    """Texts, coloured where they are states."""
    return [Text(str(cell)[:80], style=COLOURS.get(cell, "")) for cell in row]
