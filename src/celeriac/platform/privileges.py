"""Users and groups: what a worker may not be, and how it gives privileges up.  Unix only."""

from __future__ import annotations

import grp
import os
import pwd
import warnings
from typing import TYPE_CHECKING

from celeriac.exceptions import ImproperlyConfigured, SecurityError, SecurityWarning

if TYPE_CHECKING:
    from collections.abc import Collection

#: Groups whose members can become root.
_ROOT_GROUPS = frozenset({"sudo", "wheel"})
_PICKLE = "application/x-python-serialize"


def check_privileges(accept_content: Collection[str]) -> None:
    """Warn of a worker that runs as root; refuse one that also reads pickles.

    Args:
        accept_content: Content types, or names of serializers, that the worker decodes.

    Raises:
        SecurityError: Anyone who can publish could run anything as root. ``C_FORCE_ROOT`` in the environment
            permits it.
    """
    who = _why_root()
    if who is None:
        return
    if ({"pickle", _PICKLE} & set(accept_content)) and not os.environ.get("C_FORCE_ROOT"):
        raise SecurityError(
            f"This worker runs {who} and accept_content has pickle: whoever can publish a message could run any "
            "code as root. Use --uid, take pickle out of accept_content, or set C_FORCE_ROOT=1 in the environment "
            "to run it all the same."
        )
    warnings.warn(
        f"This worker runs {who}, which its tasks do not need: choose a user for it with --uid.",
        SecurityWarning,
        stacklevel=2,
    )


def _why_root() -> str | None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        return "as root (user 0)"
    if group == 0:
        return "as group 0"
    try:
        name = grp.getgrgid(group).gr_name
    except KeyError:
        return None
    return f"as a member of the group {name!r}" if name in _ROOT_GROUPS else None


def parse_uid(user: str | int) -> int:
    """Number of a user, given by name or number.

    Raises:
        ImproperlyConfigured: There is none of that name.
    """
    try:
        return int(user)
    except ValueError:
        try:
            return pwd.getpwnam(str(user)).pw_uid
        except KeyError:
            raise ImproperlyConfigured(f"--uid: there is no user {user!r}") from None


def parse_gid(group: str | int) -> int:
    """Number of a group, given by name or number.

    Raises:
        ImproperlyConfigured: There is none of that name.
    """
    try:
        return int(group)
    except ValueError:
        try:
            return grp.getgrnam(str(group)).gr_gid
        except KeyError:
            raise ImproperlyConfigured(f"--gid: there is no group {group!r}") from None


def drop_privileges(user: str | int | None, group: str | int | None) -> None:
    """Become another user and group, for good.

    Args:
        user: Name or number; None stays who it is.
        group: Name or number; None is the primary group of ``user``.

    Raises:
        ImproperlyConfigured: There is no such user or group, or only root may become them.
        SecurityError: It could become root again.
    """
    if not user and not group:
        return
    uid = parse_uid(user) if user else None
    gid = parse_gid(group) if group else _primary_group(uid)
    try:
        _become(uid, gid)
    except PermissionError as exc:
        raise ImproperlyConfigured(
            f"Cannot become user {user or os.geteuid()!r}, group {gid}: only root can change who it is"
        ) from exc
    if uid:
        _check_for_good()


def _primary_group(uid: int | None) -> int | None:
    try:
        return None if uid is None else pwd.getpwuid(uid).pw_gid
    except KeyError:
        # A number without a name, as in containers: its group stays.
        return None


def _become(uid: int | None, gid: int | None) -> None:
    """Groups first: afterwards there is no permission left to change them."""
    if gid is not None and (gid, gid) != (os.getgid(), os.getegid()):
        os.setgid(gid)
    if uid is None or (uid, uid) == (os.getuid(), os.geteuid()):
        return
    try:
        os.initgroups(pwd.getpwuid(uid).pw_name, os.getegid())
    except KeyError:
        os.setgroups([os.getegid()])
    os.setuid(uid)


def _check_for_good() -> None:
    if os.getuid() == 0 or os.geteuid() == 0:
        raise SecurityError("Still root after changing to another user")
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise SecurityError("Could become root again after changing to another user: it has the capability CAP_SETUID")
