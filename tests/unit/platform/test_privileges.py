"""Who a worker may be; the system calls are replaced."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any

import pytest

from celeriac.exceptions import ImproperlyConfigured, SecurityError, SecurityWarning
from celeriac.platform.daemon import check_writable, parse_umask
from celeriac.platform.privileges import check_privileges, drop_privileges, parse_gid, parse_uid


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Ids of the process, changed by the set-calls, which only root may use."""
    found = {"uid": 0, "gid": 0}

    def set_id(kind: str, value: int) -> None:
        if found["uid"] != 0:
            raise PermissionError(1, "Operation not permitted")
        found[kind] = value

    for kind in ("uid", "gid"):
        for prefix in ("get", "gete"):
            monkeypatch.setattr(os, f"{prefix}{kind}", lambda kind=kind: found[kind])
    monkeypatch.setattr(os, "setgid", lambda value: set_id("gid", value))
    monkeypatch.setattr(os, "setuid", lambda value: set_id("uid", value))
    monkeypatch.setattr(os, "initgroups", lambda name, gid: None)
    monkeypatch.setattr(os, "setgroups", lambda groups: None)
    return found


def test_root_is_warned(ids: dict[str, int]) -> None:
    with pytest.warns(SecurityWarning, match="runs as root"):
        check_privileges(["json"])


@pytest.mark.parametrize("name", ["pickle", "application/x-python-serialize"])
def test_root_does_not_read_pickles_unless_forced(
    ids: dict[str, int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("C_FORCE_ROOT", raising=False)
    with pytest.raises(SecurityError, match="C_FORCE_ROOT"):
        check_privileges(["json", name])
    monkeypatch.setenv("C_FORCE_ROOT", "1")
    with pytest.warns(SecurityWarning):
        check_privileges(["json", name])


def test_group_of_administrators_counts_as_root(ids: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    ids.update(uid=1000, gid=27)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: _named("sudo"))
    with pytest.raises(SecurityError, match="member of the group 'sudo'"):
        check_privileges(["pickle"])


def _named(name: str) -> Any:
    return grp.struct_group((name, "x", 27, []))


def test_others_may_do_as_they_like(ids: dict[str, int]) -> None:
    ids.update(uid=1000, gid=123456789)
    check_privileges(["pickle"])


def test_user_brings_the_primary_group(ids: dict[str, int]) -> None:
    user = pwd.getpwnam("nobody")
    drop_privileges("nobody", None)
    assert ids == {"uid": user.pw_uid, "gid": user.pw_gid}


def test_group_can_be_chosen(ids: dict[str, int]) -> None:
    drop_privileges("65534", "7")
    assert ids == {"uid": 65534, "gid": 7}


def test_nothing_asked_changes_nothing(ids: dict[str, int]) -> None:
    drop_privileges(None, None)
    assert ids == {"uid": 0, "gid": 0}


def test_only_root_can_change_who_it_is(ids: dict[str, int]) -> None:
    ids.update(uid=1000, gid=1000)
    with pytest.raises(ImproperlyConfigured, match="only root can change who it is"):
        drop_privileges("nobody", None)


def test_becoming_who_one_is_needs_no_permission(ids: dict[str, int]) -> None:
    ids.update(uid=1000, gid=1000)
    drop_privileges("1000", "1000")


def test_way_back_to_root_is_refused(ids: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setuid", lambda value: ids.update(uid=value))
    with pytest.raises(SecurityError, match="root"):
        drop_privileges("nobody", None)


def test_unknown_names_are_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="there is no user 'no-such-user'"):
        parse_uid("no-such-user")
    with pytest.raises(ImproperlyConfigured, match="there is no group 'no-such-group'"):
        parse_gid("no-such-group")
    assert (parse_uid("0"), parse_gid(5), parse_uid("root")) == (0, 5, 0)


@pytest.mark.parametrize(("text", "value"), [(None, None), ("022", 0o22), ("18", 18), ("0", 0), (0o77, 0o77)])
def test_mask_with_a_leading_zero_is_octal(text: str | int | None, value: int | None) -> None:
    assert parse_umask(text) == value


def test_mask_that_is_no_number_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="'09'"):
        parse_umask("09")


def test_log_file_that_cannot_be_written_is_named(tmp_path: Any) -> None:
    check_writable(None)
    check_writable(str(tmp_path / "x.log"))
    with pytest.raises(ImproperlyConfigured, match=r"The log file .* cannot be written: No such file"):
        check_writable(str(tmp_path / "nowhere" / "x.log"))
