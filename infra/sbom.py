"""Writes infra/sbom.cdx.json: everything that is installed to run Lineside, wheels and jars, as CycloneDX 1.6.

From the locks come names, versions and hashes (all files that a lock accepts), from the installed packages licences and
who needs whom. The same locks give the same bytes: no time, no random number. What only develops or tests Lineside has
the scope `excluded`. Run it after every change of a lock: `.venv/bin/python infra/sbom.py`; a test compares.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from streams.bus.kafka_jars import LOCK_FILE, read_lock  # noqa: E402

SBOM = ROOT / "infra/sbom.cdx.json"
WHEEL_LOCKS = ("infra/requirements.lock", "infra/uv.lock")
LONGEST_LICENCE = 64  # longer ones are texts, not names


def sbom() -> dict[str, Any]:
    """The whole document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheels = {canonicalize_name(name): (name, version, hashes) for name, version, hashes in locked_wheels()}
    direct = [Requirement(text) for text in project["dependencies"]]
    edges_of, needed = _graph([*direct, *(Requirement(name) for name in wheels)], wheels), _graph(direct, wheels)
    components = [_wheel(*wheel, name in needed) for name, wheel in sorted(wheels.items())]
    jars = [_jar(jar) for jar in sorted(read_lock(LOCK_FILE.read_text()), key=lambda jar: jar.coordinates)]
    root = f"pkg:pypi/{project['name']}@{project['version']}"
    refs = {name: _purl(name, version) for name, (_, version, _) in wheels.items()}
    edges = {root: sorted([*(refs[canonicalize_name(r.name)] for r in direct), *(jar["bom-ref"] for jar in jars)])}
    edges |= {jar["bom-ref"]: [] for jar in jars}
    edges |= {refs[name]: sorted(refs[other] for other in others) for name, others in edges_of.items()}
    subject = {"type": "application", "bom-ref": root, "name": project["name"], "version": project["version"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject | {"purl": root, "description": project["description"]}},
        "components": [*components, *jars],
        "dependencies": [{"ref": ref, "dependsOn": needs} for ref, needs in sorted(edges.items())],
    }


def text_of(document: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def locked_wheels() -> Iterator[tuple[str, str, list[str]]]:
    """Name, version and the sha256 of each file accepted, of every locked package."""
    for lock in WHEEL_LOCKS:
        text = (ROOT / lock).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if found := re.match(r"([\w.-]+)==([\w.!+-]+)", line):
                yield found[1], found[2], sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))


def _wheel(name: str, version: str, hashes: list[str], is_needed: bool) -> dict[str, Any]:
    ref = _purl(name, version)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        "scope": "required" if is_needed else "excluded",
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in hashes],
    }
    return component | _licences(name) | {"purl": ref}


def _jar(jar: Any) -> dict[str, Any]:
    ref = PackageURL("maven", jar.group, jar.artifact, jar.version).to_string()
    return {
        "type": "library",
        "bom-ref": ref,
        "group": jar.group,
        "name": jar.artifact,
        "version": jar.version,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        "purl": ref,
    }


def _licences(name: str) -> dict[str, Any]:
    """What the package says of itself: an SPDX expression, else a name; nothing where it says nothing usable."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:  # locked for another platform
        return {}
    if expression := metadata.get("License-Expression"):
        return {"licenses": [{"expression": expression}]}
    classifiers = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License :: OSI")]
    named = (metadata.get("License") or "").strip()
    if "\n" in named or len(named) > LONGEST_LICENCE or named in ("", "UNKNOWN"):
        names = [text.rpartition(" :: ")[2] for text in classifiers]
    else:
        names = [named]
    return {"licenses": [{"license": {"name": each}} for each in names]} if names else {}


def _graph(roots: list[Requirement], locked: Container[str]) -> dict[str, set[str]]:
    """Who of the locked packages needs whom, from the roots on, with the extras that are asked for."""
    graph: dict[str, set[str]] = {}
    waiting, done = list(roots), set()
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if (key := (name, frozenset(asked.extras))) in done:
            continue
        done.add(key)
        needs = [need for need in _needs(name, asked.extras) if canonicalize_name(need.name) in locked]
        graph.setdefault(name, set()).update(canonicalize_name(need.name) for need in needs)
        waiting += needs
    return graph


def _needs(name: str, extras: set[str]) -> list[Requirement]:
    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # locked for another platform
        return []
    needs = [Requirement(text) for text in texts]
    return [n for n in needs if not n.marker or any(n.marker.evaluate({"extra": e}) for e in ("", *extras))]


def _purl(name: str, version: str) -> str:
    return PackageURL("pypi", None, canonicalize_name(name), version).to_string()


if __name__ == "__main__":
    SBOM.write_text(text_of(sbom()))
