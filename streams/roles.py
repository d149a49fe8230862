"""Who may do what in Kafka: one role for each program, as a table. Pure; `bus/access.py` puts it into Kafka.

Place in the flow: beside `topics.py`, whose topics it names. It follows from what the programs do, and a test lets each
do its work on a broker that allows nothing else. `admin` is no role here: a super user needs no rule. Every role may
see all our topics' shapes, because each program compares them with the table before it starts; that shows no event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streams.errors import CallerError
from streams.topics import (
    ALARMS,
    AUDIT,
    CAMERA_REFERENCES,
    CLAIMS,
    DEADLETTERS,
    DEFECTS,
    FRAMES,
    GATES,
    INSPECTION,
    LINE_STATS,
    LOCATIONS,
    MODELS,
    OUTCOMES,
    PARTS,
    PROPOSALS,
    RECIPES,
    SAMPLES,
    SHADOW,
    TOPICS,
    VERDICTS,
    Topic,
    frames_of,
    inspection_group,
)

Resource = Literal["topic", "group", "cluster"]
CLUSTER = "kafka-cluster"  # Kafka's name for itself
REPLAYS = "replay."  # what topics and groups of replays begin with, behind the prefix


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One thing that is allowed from any host, as Kafka keeps it. `prefixed`: for all names that begin with `name`."""

    principal: str  # User:NAME
    resource: str
    name: str
    operation: str
    prefixed: bool = False

    def __str__(self) -> str:
        return f"{self.principal} may {self.operation} {self.resource} {self.name}{'*' if self.prefixed else ''}"


@dataclass(frozen=True, slots=True)
class Role:
    """One program's rights. `groups`: consumer groups it is a member of; `watches`: those whose commits it reads."""

    name: str
    program: str
    reads: Sequence[Topic] = ()
    writes: Sequence[Topic] = ()
    groups: Sequence[str] = ()
    watches: Sequence[str] = ()
    group_families: Sequence[str] = ()  # it may be a member of every group that begins so
    replays: Literal["", "reads", "makes"] = ""


_EVERYTHING = tuple(TOPICS.values())
_OF_PAGES = (VERDICTS, DEFECTS, PARTS, OUTCOMES, SAMPLES, FRAMES)

ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role("gateway", "lineside gateway", reads=(GATES,), writes=(FRAMES, GATES), groups=("gateways",)),
        Role(
            "inspector",
            "lineside worker",
            reads=(FRAMES, RECIPES, MODELS, VERDICTS, DEADLETTERS, ALARMS),
            writes=(VERDICTS, DEFECTS, DEADLETTERS, ALARMS),
            groups=("inspection",),
        ),
        Role(
            "parts",
            "lineside parts",
            reads=(VERDICTS, RECIPES, PARTS, ALARMS),
            writes=(PARTS, ALARMS, DEADLETTERS),
            groups=("parts",),
        ),
        Role(
            "statistics",
            "lineside statistics",
            reads=(VERDICTS, PARTS, OUTCOMES, SAMPLES, ALARMS, LINE_STATS),
            writes=(LINE_STATS, ALARMS),
            groups=("statistics",),
        ),
        Role(
            "sampler",
            "lineside sampler",
            reads=(VERDICTS, DEFECTS, OUTCOMES, SAMPLES, FRAMES, ALARMS),
            writes=(SAMPLES,),
            watches=("inspection",),
        ),
        Role(
            "shadow",
            "lineside shadow",
            reads=(VERDICTS, FRAMES, RECIPES, MODELS),
            writes=(SHADOW,),
            groups=("shadow",),
        ),
        Role(
            "drift",
            "lineside drift",
            reads=(VERDICTS, FRAMES, RECIPES, MODELS, ALARMS, CAMERA_REFERENCES),
            writes=(ALARMS, CAMERA_REFERENCES),
            groups=("drift",),
        ),
        Role(
            "guard",
            "lineside guard",
            reads=(VERDICTS, RECIPES, MODELS, ALARMS, AUDIT),
            writes=(RECIPES, ALARMS, AUDIT),
        ),
        Role("locator", "lineside locate", reads=(DEFECTS,), writes=(LOCATIONS,), groups=("locator",)),
        Role(
            "station",
            "lineside station",
            reads=(*_OF_PAGES, LOCATIONS, CLAIMS, AUDIT),
            writes=(OUTCOMES, CLAIMS, AUDIT),
        ),
        Role(
            "dashboard",
            "lineside dashboard",
            reads=(*_OF_PAGES, LINE_STATS, RECIPES, MODELS, SHADOW, PROPOSALS, ALARMS, AUDIT),
            writes=(RECIPES, PROPOSALS, AUDIT),
            watches=("inspection",),
        ),
        Role(
            "archiver",
            "lineside archive",
            reads=(VERDICTS, DEFECTS, PARTS, OUTCOMES, FRAMES),
            watches=("inspection",),
        ),
        Role(
            "replayer",
            "lineside replay, compare, whatif",
            reads=(FRAMES, VERDICTS, RECIPES, MODELS, OUTCOMES, SAMPLES),
            replays="makes",
        ),
        Role(
            "redriver",
            "lineside deadletters",
            reads=(DEADLETTERS, AUDIT),
            writes=(FRAMES, AUDIT),
        ),
        Role(
            "engineer",
            "lineside recipe, models, retrain, drift teach, users",
            reads=_EVERYTHING,
            writes=(RECIPES, MODELS, PROPOSALS, CAMERA_REFERENCES, AUDIT),
            replays="reads",
        ),
        Role(
            "auditor",
            "lineside tail, query, part, rebuild, dataset, store gc",
            reads=_EVERYTHING,
            watches=("inspection", "parts", "statistics"),
            replays="reads",
        ),
        Role(
            "subscriber",
            "bridges to PLC, MES and others",
            reads=(PARTS, VERDICTS, DEFECTS, LOCATIONS, LINE_STATS, ALARMS),
            group_families=("subscriber.",),
        ),
    )
}

# Which role each program of `lineside up` is.
ROLE_OF_COMMAND: Mapping[str, str] = {
    "gateway": "gateway",
    "worker": "inspector",
    "parts": "parts",
    "statistics": "statistics",
    "sampler": "sampler",
    "shadow": "shadow",
    "drift": "drift",
    "guard": "guard",
    "locate": "locator",
    "archive": "archiver",
    "dashboard": "dashboard",
    "station": "station",
}


def rules(
    prefix: str, principals: Mapping[str, Sequence[str]] | None = None, pools: Sequence[str] = ("",)
) -> frozenset[Rule]:
    """All rules under a topic prefix. `principals`: who is in a role (`User:NAME`); by default the user of its name.

    A role's right to frames, and to the group of workers, is one to those of all `pools`.
    """
    found: set[Rule] = set()
    for role in ROLES.values():
        for principal in (principals or {}).get(role.name, (f"User:{role.name}",)):
            found |= set(_rules_of(role, prefix, principal, pools))
    return frozenset(found)


def concerns(rule: Rule, prefix: str) -> bool:
    """Whether a rule is about topics and groups under a prefix, or the cluster; not another installation's alone."""
    if rule.name in ("*", CLUSTER) or rule.name.startswith(prefix):
        return True
    return rule.prefixed and prefix.startswith(rule.name)


def parse_principals(texts: Iterable[str]) -> dict[str, list[str]]:
    """`ROLE=User:NAME` as principals by role; CallerError for another form or an unknown role."""
    found: dict[str, list[str]] = {}
    for text in texts:
        role, _, principal = text.partition("=")
        if role not in ROLES or not principal.startswith("User:") or principal in ("User:", "User:*"):
            raise CallerError(
                f"--principal needs ROLE=User:NAME, a role being one of {', '.join(ROLES)}; came {text!r}"
            )
        found.setdefault(role, []).append(principal)
    return found


def _rules_of(role: Role, prefix: str, principal: str, pools: Sequence[str]) -> Iterable[Rule]:
    yield Rule(principal, "topic", prefix, "describe", prefixed=True)
    yield Rule(principal, "topic", prefix, "describe_configs", prefixed=True)
    yield from (Rule(principal, "topic", prefix + name, "read") for name in _names(role.reads, pools))
    yield from (Rule(principal, "topic", prefix + name, "write") for name in _names(role.writes, pools))
    yield from (Rule(principal, "group", prefix + group, "read") for group in _groups(role.groups, pools))
    yield from (Rule(principal, "group", prefix + group, "describe") for group in _groups(role.watches, pools))
    yield from (Rule(principal, "group", prefix + family, "read", prefixed=True) for family in role.group_families)
    if role.replays:
        yield Rule(principal, "topic", prefix + REPLAYS, "read", prefixed=True)
    if role.replays == "makes":
        yield Rule(principal, "group", prefix + REPLAYS, "read", prefixed=True)
        yield Rule(principal, "topic", prefix + REPLAYS, "write", prefixed=True)
        yield Rule(principal, "topic", prefix + REPLAYS, "create", prefixed=True)
    if role.writes or role.replays == "makes":
        yield Rule(principal, "cluster", CLUSTER, "idempotent_write")  # brokers since 2.8 take a right to write for it


def _names(topics: Iterable[Topic], pools: Sequence[str]) -> Iterable[str]:
    """The topics' names; of frames those of every pool."""
    for topic in topics:
        yield from (frames_of(pool).name for pool in pools) if topic is FRAMES else (topic.name,)


def _groups(groups: Iterable[str], pools: Sequence[str]) -> Iterable[str]:
    for group in groups:
        yield from map(inspection_group, pools) if group == INSPECTION else (group,)
