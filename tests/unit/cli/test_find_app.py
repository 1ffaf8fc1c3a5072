"""What ``-A`` finds, and what it says when it finds nothing."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from celeriac.cli.find_app import AppNotFound, find_app, make_working_directory_importable

MAKE = "from celeriac import Celery\n{} = Celery({!r}, set_as_current=False)\n"


@pytest.fixture(autouse=True)
def _importable(_restored_process: None) -> None:
    make_working_directory_importable()


def write(path: str, text: str) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))


@pytest.mark.parametrize("attribute", ["app", "celery", "celeriac", "something"])
def test_module_is_searched_for_its_app(attribute: str) -> None:
    write("fa_one.py", MAKE.format(attribute, "found"))
    assert find_app("fa_one").main == "found"


def test_app_wins_over_celery_and_celery_over_other_names() -> None:
    write("fa_two.py", MAKE.format("other", "3") + MAKE.format("celery", "2") + MAKE.format("app", "1"))
    write("fa_three.py", MAKE.format("other", "3") + MAKE.format("celery", "2"))
    assert (find_app("fa_two").main, find_app("fa_three").main) == ("1", "2")


def test_attribute_of_the_name_app_that_is_no_app_is_passed_over() -> None:
    write("fa_web.py", "app = object()\n" + MAKE.format("tasks", "found"))
    assert find_app("fa_web").main == "found"


@pytest.mark.parametrize("submodule", ["celery", "celeriac"])
def test_package_is_searched_for_a_submodule_with_the_app(submodule: str) -> None:
    write("fa_pkg/__init__.py", "")
    write(f"fa_pkg/{submodule}.py", MAKE.format("app", "found"))
    assert find_app("fa_pkg").main == "found"


@pytest.mark.parametrize("name", ["fa_pkg2.mod:wanted", "fa_pkg2.mod.wanted", "fa_pkg2.mod:holder.inner"])
def test_attribute_can_be_named(name: str) -> None:
    write("fa_pkg2/__init__.py", "")
    write(
        "fa_pkg2/mod.py",
        MAKE.format("app", "no") + MAKE.format("wanted", "yes") + "class holder:\n    inner = wanted\n",
    )
    assert find_app(name).main == "yes"


def test_missing_module_suggests_one_that_is_there() -> None:
    write("invoices.py", "")
    with pytest.raises(AppNotFound, match=r"The module invoicse was not found\. Did you mean -A invoices\?") as error:
        find_app("invoicse")
    assert error.value.exit_code == 2


def test_file_name_is_answered_with_the_name_of_the_module() -> None:
    with pytest.raises(AppNotFound, match=r"not of the file: -A pkg\.tasks"):
        find_app("pkg/tasks.py")


@pytest.mark.parametrize(
    ("name", "hint"), [("./tasks", "-A tasks"), ("pkg/tasks:app", "-A pkg.tasks:app"), (".m", "-A m")]
)
def test_path_is_answered_with_the_name_of_the_module(name: str, hint: str) -> None:
    with pytest.raises(AppNotFound) as error:
        find_app(name)
    assert error.value.message.endswith(f"not of the file: {hint}")


@pytest.mark.parametrize("name", ["", ".", ":app"])
def test_empty_name_is_answered_with_an_example(name: str) -> None:
    with pytest.raises(AppNotFound, match=r"names no module\. Give its name, as in -A proj"):
        find_app(name)


def test_error_inside_the_module_shows_its_traceback_from_the_first_line_of_the_user() -> None:
    write("fa_broken.py", "import fa_missing_dependency\n")
    with pytest.raises(AppNotFound) as error:
        find_app("fa_broken")
    text = error.value.format_message()
    assert text.startswith("Unable to load celery application.\nImporting the module fa_broken failed:")
    assert text.rstrip().endswith("ModuleNotFoundError: No module named 'fa_missing_dependency'")
    assert "importlib" not in text
    assert text.count("File ") == 1


def test_missing_attribute_is_named_with_the_apps_that_are_there() -> None:
    write("fa_attr.py", MAKE.format("main_app", "x"))
    with pytest.raises(AppNotFound, match=r"Module 'fa_attr' has no attribute 'nope'\. It has the apps: main_app"):
        find_app("fa_attr:nope")


def test_named_object_that_is_no_app_is_refused() -> None:
    write("fa_factory.py", "def make():\n    return 1\n")
    with pytest.raises(AppNotFound, match=r"which is not a celeriac\.Celery app; assign the app that it makes"):
        find_app("fa_factory:make")


def test_module_without_an_app_says_what_its_app_is() -> None:
    write("fa_flask.py", "class Flask: pass\napp = Flask()\n")
    with pytest.raises(AppNotFound, match=r"Its 'app' is a fa_flask\.Flask; name the app: -A fa_flask:attribute"):
        find_app("fa_flask")
