"""What an installed Lineside holds: every package, and every file beside the code that a program reads."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = find_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"])


def files() -> Iterator[Path]:
    for top in ("streams", "schemas", "models"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


def test_every_module_lies_in_a_package_that_is_installed() -> None:
    folders = {".".join(path.parent.parts) for path in files() if path.suffix == ".py"}
    assert folders == set(PACKAGES)


def test_every_other_file_is_installed_with_the_package_that_reads_it() -> None:
    told = [ROOT / package.replace(".", "/") for package in SETUPTOOLS["package-data"]]
    given = {
        path.relative_to(ROOT)
        for folder, patterns in zip(told, SETUPTOOLS["package-data"].values(), strict=True)
        for pattern in patterns
        for path in folder.glob(pattern)
    }
    assert {path for path in files() if path.suffix != ".py"} <= given
