"""`lineside topics --acls`: who may do what, shown, put into Kafka, or compared with it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from streams.bus.access import add_rules, rules_in_force
from streams.bus.admin import wait_for_broker
from streams.roles import REPLAYS, ROLES, Role, Rule, concerns, parse_principals, rules
from streams.settings import Settings


async def manage_acls(settings: Settings, check: bool, as_json: bool, principals: Sequence[str] = ()) -> int:
    """Allow what the table says, or with `check` change nothing; the exit status: 1 where `check` found a difference.

    `principals`: `ROLE=User:NAME`, where users are not called as their roles. Rules that others made stay; of them,
    those that give the users of our roles more than the table does are told.
    """
    named = parse_principals(principals)
    wanted = rules(settings.topic_prefix, named, settings.pool_names)
    if not as_json:
        Console().print(_table())
    await wait_for_broker(settings.bootstrap)
    present = await asyncio.to_thread(rules_in_force, settings.bootstrap)
    ours = {rule.principal for rule in wanted}
    missing = sorted(wanted - present)
    beyond = sorted(
        rule for rule in present - wanted if rule.principal in ours and concerns(rule, settings.topic_prefix)
    )
    if not check:
        await asyncio.to_thread(add_rules, settings.bootstrap, missing)
    _tell(check, as_json, missing, beyond)
    return 1 if check and (missing or beyond) else 0


def _tell(check: bool, as_json: bool, missing: Sequence[Rule], beyond: Sequence[Rule]) -> None:
    done = "missing" if check else "added"
    if as_json:
        found = {done: missing, "beyond_the_table": beyond}
        shown = {name: [dataclasses.asdict(rule) for rule in some] for name, some in found.items()}
        print(json.dumps({"roles": [_row(role) for role in ROLES.values()], **shown}, indent=2))
        return
    for rule in missing if check else ():
        print(f"missing: {rule}; add it with `lineside topics --acls`")
    for rule in beyond:
        print(f"beyond the table: {rule}; remove it with `kafka-acls --remove` unless you mean it")
    print(f"{len(missing)} rules {done}, {len(beyond)} beyond the table")


def _row(role: Role) -> dict[str, object]:
    groups = [*role.groups, *(f"{family}*" for family in role.group_families)]
    reads, writes = ([topic.name for topic in topics] for topics in (role.reads, role.writes))
    if role.replays:
        reads.append(f"{REPLAYS}*")
    if role.replays == "makes":
        writes.append(f"{REPLAYS}*")
        groups.append(f"{REPLAYS}*")
    return {"role": role.name, "program": role.program, "reads": reads, "writes": writes, "groups": groups}


def _table() -> Table:
    table = Table(title="Who may do what")
    for column in ("role", "program", "reads", "writes", "groups"):
        table.add_column(column)
    for role in ROLES.values():
        table.add_row(*(", ".join(cell) if isinstance(cell, list) else str(cell) for cell in _row(role).values()))
    return table
