"""What all HTML reports share: one file each, no script, nothing fetched, the same bytes for the same figures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def render(package: str, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """A template from the folder `pages` of a package; it extends `base.html.jinja`. Everything is escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "pages"), PackageLoader("streams.reports", "pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"png": png_source} | dict(filters)
    return str(environment.get_template(template).render(**values))


def png_source(data: bytes) -> str:
    """A PNG file as the source of an image."""
    return "data:image/png;base64," + base64.b64encode(data).decode()
