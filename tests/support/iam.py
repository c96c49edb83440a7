"""Evaluate IAM policies by the rules that AWS documents for one account and one user.

A request is denied unless a statement allows it, and it is denied if any statement denies it. An element or a condition
operator that is not implemented here raises NotImplementedError.
See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_KNOWN = {"Sid", "Effect", "Action", "Resource", "Condition"}


def is_allowed(policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    """Whether an identity's policy allows an action on a resource.

    context: the condition keys of the request, such as sns:Protocol, with their values.
    """
    effects = {
        statement["Effect"] for statement in policy["Statement"] if _applies(statement, action, resource, context or {})
    }
    return effects == {"Allow"}


def actions_of(policy: Mapping[str, Any]) -> list[str]:
    """The actions in a policy, sorted; wildcards are not expanded."""
    return sorted({action for statement in policy["Statement"] for action in _as_list(statement["Action"])})


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    if unknown := statement.keys() - _KNOWN:
        raise NotImplementedError(f"a statement with {', '.join(sorted(unknown))}")
    return (
        # Action names are case-insensitive; resource names are case-sensitive.
        any(matches(pattern.lower(), action.lower()) for pattern in _as_list(statement["Action"]))
        and any(matches(pattern, resource) for pattern in _as_list(statement["Resource"]))
        and all(
            _holds(operator, key, _as_list(wanted), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: list[str], context: Mapping[str, str]) -> bool:
    """Whether a condition is true: one of its values matches. It is false if the request does not have the key."""
    keys = {name.lower(): value for name, value in context.items()}
    value = keys.get(key.lower())
    if value is None:
        return False
    match operator:
        case "StringEquals":
            return value in wanted
        case "StringLike" | "ArnLike" | "ArnEquals":
            return any(matches(pattern, value) for pattern in wanted)
        case "Bool":
            return value.lower() in [each.lower() for each in wanted]
        case _:
            raise NotImplementedError(f"a condition with {operator}")


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches an IAM pattern: `*` matches any characters, `?` exactly one."""
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, text, re.DOTALL) is not None


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
