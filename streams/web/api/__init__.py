"""Reading over HTTP for Power BI, MES and Node-RED: pictures, events as tables, events live.

The dashboard's process mounts `router.api_router`; nothing here writes an event or knows a page. FastAPI alone, so
that it also serves without NiceGUI.
"""
