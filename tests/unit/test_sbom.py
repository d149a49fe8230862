"""The bill of materials is valid CycloneDX, says what the locks say, and is the same whenever it is made."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "infra/sbom.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_bill_is_the_one_that_the_locks_make(made: ModuleType) -> None:
    text = made.text_of(made.sbom())
    assert text == made.text_of(made.sbom())
    assert made.SBOM.read_text() == text, "run `.venv/bin/python infra/sbom.py`"


def test_it_is_valid_cyclonedx_and_the_validator_can_say_no(made: ModuleType) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator  # seconds, which every process would pay that collects

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(made.SBOM.read_text()) is None
    broken = json.loads(made.SBOM.read_text())
    broken["components"][0]["hashes"][0]["content"] = "no digest"
    assert validator.validate_str(json.dumps(broken)) is not None


def test_every_locked_wheel_and_jar_is_in_it_with_its_hashes(made: ModuleType) -> None:
    components = json.loads(made.SBOM.read_text())["components"]
    kinds = Counter(component["purl"].partition("/")[0] for component in components)
    jars = [line for line in made.LOCK_FILE.read_text().splitlines() if not line.startswith("#")]
    assert kinds == {"pkg:pypi": len(list(made.locked_wheels())), "pkg:maven": len(jars)}
    assert all(component["hashes"] for component in components)
    by_name = {component["name"]: component for component in components}
    assert by_name["kafka-clients"]["hashes"][0]["content"] in made.LOCK_FILE.read_text()
    scopes = {name: by_name[name]["scope"] for name in ("aiokafka", "cramjam", "torch", "pytest", "ruff")}
    assert scopes == {
        "aiokafka": "required",
        "cramjam": "required",  # by an extra
        "torch": "required",
        "pytest": "excluded",
        "ruff": "excluded",
    }


def test_a_changed_lock_gives_another_bill(made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*made.WHEEL_LOCKS, "pyproject.toml"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text().replace("typer==", "typer==9"))
    monkeypatch.setattr(made, "ROOT", tmp_path)
    assert made.text_of(made.sbom()) != made.SBOM.read_text()
