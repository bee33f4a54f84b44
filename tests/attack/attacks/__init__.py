"""The attacks, each next to those of its kind. Each is one client: it comes from 127.0.0.1."""

from . import connections, http2, probes, streaming, work  # noqa: F401
