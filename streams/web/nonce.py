"""Gives the scripts of NiceGUI's page template the nonce of their answer, so that no other script in a page runs.

The nonce is put into the TEMPLATE, once, and never into finished HTML: what an attacker got into a page has none.
"""

from __future__ import annotations

from jinja2 import ChoiceLoader, DictLoader
from nicegui.client import templates

PAGE = "index.html"
NONCE = 'nonce="{{ request.scope["csp_nonce"] }}"'


def nonce_page_template() -> None:
    """Idempotent; RuntimeError where NiceGUI's template has no script to mark."""
    environment = templates.env
    if environment.loader is None:
        raise RuntimeError("NiceGUI's page template has no loader; expected the one of nicegui.client")
    source = environment.loader.get_source(environment, PAGE)[0]
    if NONCE in source:
        return
    marked = source.replace("<script", f"<script {NONCE}")
    if marked == source:
        raise RuntimeError("NiceGUI's page template has no <script>; expected some to mark with the nonce")
    environment.loader = ChoiceLoader([DictLoader({PAGE: marked}), environment.loader])
