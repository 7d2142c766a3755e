"""Translate an action into a request to a site."""

from __future__ import annotations

from syncd.domain import Action, Create, Delete, SecretValue, Update
from syncd.domain import WriteResult as Written
from syncd.domain.ports import Target


def send(target: Target, action: Action) -> Written:
    """Send the request of one action. Returns: the site's answer. Raises `TargetError`."""
    if isinstance(action, Delete):
        return target.delete(str(action.record.remote_id))
    desired = action.desired
    if isinstance(action, Create):
        return target.create(desired.name, _value(action), desired.description)
    return target.update(
        str(action.record.remote_id),
        # A PATCH changes what it holds: what is left out stays as it is at the site.
        name=desired.name if action.rename else None,
        value=None if action.describe_only else _value(action),
        description=desired.description,
    )


def _value(action: Create | Update) -> SecretValue[str]:
    if action.desired.value is None:
        raise AssertionError(f"{action.name}: an action without its value")
    return action.desired.value
