from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.config.loader import (
    DEFAULT_MODULES,
    NotAPackage,
    default_config,
    module_from_envvar,
    parse_arguments,
    read_source,
)
from celeriac.exceptions import ImproperlyConfigured, NotConfigured
from tests.support.modules import forget_modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; modules imported from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELERY_CONFIG_MODULE", raising=False)
    monkeypatch.delenv("C_WNOCONF", raising=False)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    forget_modules(tmp_path)


class Config:
    task_serializer = "yaml"
    _private = 1


def test_mapping_is_read_as_it_is() -> None:
    source = {"a": 1}
    assert read_source(source) is source


@pytest.mark.parametrize("source", [Config, Config()])
def test_class_and_instance_give_their_public_attributes(source: object) -> None:
    assert dict(read_source(source)) == {"task_serializer": "yaml"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proj", "module"),
        ("proj.sub", "submodule"),
        ("proj:Conf", "class"),
        ("proj.sub.Conf", "inner"),
        ("proj:Conf.In", "nested"),
    ],
)
def test_dotted_name_leads_to_module_or_attribute(name: str, value: str, working_directory: Path) -> None:
    package = working_directory / "proj"
    package.mkdir()
    (package / "__init__.py").write_text(
        "task_serializer = 'module'\n"
        "class Conf:\n    task_serializer = 'class'\n    class In:\n        task_serializer = 'nested'\n"
    )
    (package / "sub.py").write_text("task_serializer = 'submodule'\nclass Conf:\n    task_serializer = 'inner'\n")
    assert read_source(name)["task_serializer"] == value


def test_import_leaves_the_path_as_it_was(working_directory: Path) -> None:
    (working_directory / "someconf.py").write_text("x_setting = 1")
    before = sys.path[:]
    assert read_source("someconf")["x_setting"] == 1
    assert sys.path == before


@pytest.mark.parametrize("name", ["no_such_module", "no_such.module", "json.no_such_attribute_or_module.x"])
def test_missing_module_is_an_import_error(name: str) -> None:
    with pytest.raises(ImportError):
        read_source(name)


@pytest.mark.parametrize("name", ["json:nothing", "json.nothing"])
def test_missing_attribute_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="nothing"):
        read_source(name)


def test_missing_import_inside_the_module_is_reported_as_itself(working_directory: Path) -> None:
    (working_directory / "brokenconf.py").write_text("import nowhere_to_be_found")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        read_source("brokenconf")


def test_file_name_is_refused_with_the_module_name() -> None:
    with pytest.raises(NotAPackage, match=r"'proj\.conf'"):
        read_source("proj/conf.py")


def test_envvar_names_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_CONFIG", "proj.conf")
    assert module_from_envvar("MY_CONFIG") == "proj.conf"


def test_unset_envvar_is_refused_unless_silent() -> None:
    assert module_from_envvar("NO_SUCH_VARIABLE", silent=True) is None
    with pytest.raises(ImproperlyConfigured, match="'NO_SUCH_VARIABLE'"):
        module_from_envvar("NO_SUCH_VARIABLE")


def test_default_is_empty_without_module() -> None:
    assert default_config() == {}
    assert default_config(DEFAULT_MODULES) == {}


@pytest.mark.parametrize("present", [["celeryconfig"], ["celeriacconfig"], ["celeryconfig", "celeriacconfig"]])
def test_own_default_module_is_preferred(present: list[str], working_directory: Path) -> None:
    for name in present:
        (working_directory / f"{name}.py").write_text(f"which = {name!r}")
    assert default_config(DEFAULT_MODULES)["which"] == present[-1]
    assert default_config() == {}


def test_config_module_variable_beats_default_modules(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_directory / "celeriacconfig.py").write_text("which = 'default'")
    (working_directory / "otherconf.py").write_text("which = 'other'")
    monkeypatch.setenv("CELERY_CONFIG_MODULE", "otherconf")
    assert default_config(DEFAULT_MODULES)["which"] == "other"
    assert default_config()["which"] == "other"


def test_missing_default_module_warns_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C_WNOCONF", "1")
    with pytest.warns(NotConfigured, match="celeriacconfig and celeryconfig"):
        default_config(DEFAULT_MODULES)


def test_failing_default_module_is_not_taken_for_missing(working_directory: Path) -> None:
    (working_directory / "celeryconfig.py").write_text("import nowhere_to_be_found")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        default_config(DEFAULT_MODULES)


@pytest.mark.parametrize(
    ("argument", "namespace", "name", "value"),
    [
        ("worker.prefetch_multiplier=10", "worker", "worker_prefetch_multiplier", 10),
        ("broker.pool_limit=(int)3", "worker", "broker_pool_limit", 3),
        ("Broker.Pool_Limit=3", "worker", "broker_pool_limit", 3),
        (".concurrency=3", "worker", "worker_concurrency", 3),
        ("_concurrency=auto", "worker", "worker_concurrency", "auto"),
        (".timezone=Europe/Oslo", "celery", "timezone", "Europe/Oslo"),
        ("enable_utc=no", "worker", "enable_utc", False),
        ("broker_url=redis://h/0?a=b", "celery", "broker_url", "redis://h/0?a=b"),
        ("accept_content=json,yaml", "worker", "accept_content", ["json", "yaml"]),
        ('accept_content=["json"]', "worker", "accept_content", ["json"]),
        ('accept_content=(list)["json"]', "worker", "accept_content", ["json"]),
        ("imports=a,b", "worker", "imports", ("a", "b")),
        ('broker_transport_options={"a": 1}', "worker", "broker_transport_options", {"a": 1}),
        ('broker_transport_options=(json){"a": 1}', "worker", "broker_transport_options", {"a": 1}),
        ('broker_transport_options=(dict){"a": 1}', "worker", "broker_transport_options", {"a": 1}),
        ("task_annotations=(any)x", "worker", "task_annotations", "x"),
        ("task_time_limit=(float)3", "worker", "task_time_limit", 3.0),
        ("broker_use_ssl=(bool)yes", "worker", "broker_use_ssl", True),
        ("task_default_queue=(string)7", "worker", "task_default_queue", "7"),
        ("security_key_password=abc", "worker", "security_key_password", b"abc"),
        ("BROKER_URL=x", "worker", "broker_url", "x"),
        ("task_default_exchange=", "worker", "task_default_exchange", ""),
    ],
)
def test_argument_sets_a_setting(argument: str, namespace: str, name: str, value: Any) -> None:
    assert parse_arguments([argument], namespace) == {name: value}


@pytest.mark.parametrize(
    ("argument", "mend"),
    [
        ("worker.concurency=3", "worker_concurrency"),
        ("concurrency=3", "worker_concurrency"),
        (".pool_limit=3", "broker_pool_limit"),
        ("no_such_thing_at_all=1", "no setting"),
        ("broker_pool_limit=(number)3", "int"),
    ],
)
def test_unknown_setting_or_type_is_a_key_error_with_the_mend(argument: str, mend: str) -> None:
    with pytest.raises(KeyError, match=mend):
        parse_arguments([argument], "worker")


@pytest.mark.parametrize(
    "argument",
    [
        "broker_pool_limit=abc",
        "enable_utc=maybe",
        "worker_concurrency=-3",
        "task_time_limit=-1",
        "broker_transport_options=5",
        "broker_transport_options={",
        "accept_content=[1",
    ],
)
def test_bad_value_is_a_value_error_that_names_the_setting(argument: str) -> None:
    with pytest.raises(ValueError, match=argument.partition("=")[0]):
        parse_arguments([argument], "worker")


def test_argument_without_value_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="write name=value"):
        parse_arguments(["concurrency"])


@pytest.mark.parametrize("name", ["nowhere_to_be_found", "nowhere.to.be_found", "nowhere:attribute"])
def test_a_missing_configuration_says_who_asked_for_it(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf"the configuration '{name}' .*config_from_object\(\)"):
        read_source(name)
