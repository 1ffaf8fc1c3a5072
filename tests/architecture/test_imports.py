"""What `import celeriac` costs and drags in."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import celeriac
from tests.support import PATIENCE

OPTIONAL = {
    "brotli",
    "celery",
    "django",
    "eventlet",
    "gevent",
    "hiredis",
    "kombu",
    "msgpack",
    "psycopg",
    "pydantic",
    "pymysql",
    "redis",
    "setproctitle",
    "sqlalchemy",
    "tblib",
    "yaml",
    "zstandard",
}
ROOT = Path(celeriac.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("statement", ["import celeriac", "import celeriac.cli.main"])
def test_import_loads_no_optional_driver(statement: str) -> None:
    assert _modules_after(statement) & OPTIONAL == set()


def test_every_module_has_a_docstring_and_future_annotations() -> None:
    without = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        code = [node for node in tree.body if not isinstance(node, ast.Expr)]
        future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in code)
        annotated = any(isinstance(node, ast.FunctionDef | ast.AnnAssign) for node in ast.walk(tree))
        if not ast.get_docstring(tree) or (annotated and not future):
            without.append(str(path.relative_to(ROOT)))
    assert without == []


def test_all_names_each_name_once() -> None:
    # Their order is ruff's business (RUF022).
    wrong = []
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(target, ast.Name) and target.id == "__all__" and isinstance(node, ast.Assign):
                names = ast.literal_eval(node.value)
                if len(set(names)) != len(names):
                    wrong.append(str(path.relative_to(ROOT)))
    assert wrong == []


@pytest.mark.parametrize("package", ["celeriac", "celeriac.serialization"])
def test_public_names_of_a_package_exist(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", ["celeriac", "celeriac.serialization"])
def test_names_imported_on_demand_are_those_that_type_checkers_see(package: str) -> None:
    module = importlib.import_module(package)
    typed = _imported_for_type_checkers(Path(module.__file__ or ""))
    assert {name: getattr(importlib.import_module(home), attribute) for name, (home, attribute) in typed.items()} == {
        name: getattr(module, name) for name in typed
    }
    assert set(module.__all__) <= set(typed) | set(vars(module))


def _imported_for_type_checkers(path: Path) -> dict[str, tuple[str, str]]:
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                for alias in statement.names:
                    found[alias.asname or alias.name] = (statement.module or "", alias.name)
    return found


def test_every_directory_is_a_package() -> None:
    directories = {path.parent for path in MODULES}
    without = [str(each.relative_to(ROOT)) for each in directories if not (each / "__init__.py").exists()]
    assert without == []


#: Modules that cost a client milliseconds, or each process of a worker megabytes, and that few calls need.
HEAVY_FOR_CLIENTS = {
    "asyncio", "bz2", "celeriac.canvas", "celeriac.execution", "celeriac.result", "click", "concurrent.futures",
    "ctypes", "dataclasses", "decimal", "difflib", "hashlib", "inspect", "json", "logging", "lzma", "multiprocessing",
    "pathlib", "pickle", "random", "sqlite3", "ssl", "subprocess", "traceback", "typing_extensions", "urllib.parse",
    "uuid",
}  # fmt: skip
HEAVY_FOR_CHILDREN = {
    "asyncio", "bz2", "concurrent.futures", "dataclasses", "difflib", "hashlib", "logging.handlers", "lzma", "random",
    "ssl", "subprocess",
}  # fmt: skip


def test_clients_load_nothing_heavy() -> None:
    assert _modules_after("import celeriac; celeriac.Celery('x')") & HEAVY_FOR_CLIENTS == set()


def test_spawner_and_children_load_nothing_of_the_coordinator() -> None:
    loaded = _modules_after(
        "import celeriac.cli.worker, celeriac.broker.redis, celeriac.backend.redis; "
        "from celeriac.worker.assembly import Worker; import celeriac.worker.banner as banner; "
        "banner.render_banner(hostname='h', version='1', app='a', transport='t', results='r', concurrency='c', "
        "events='OFF', queues=[])"
    )
    assert loaded & HEAVY_FOR_CHILDREN == set()
    assert "celeriac.worker.coordinator" not in loaded
