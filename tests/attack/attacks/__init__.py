"""The attacks, grouped by kind. Each is one client, from 127.0.0.1."""

from . import connections, http2, probes, streaming, work  # noqa: F401
