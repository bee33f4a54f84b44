"""The attacks, grouped by kind. Each is one client, from 127.0.0.1 or named by a proxy there."""

from . import connections, floods, http2, probes, proxies, streaming, tunnels, work  # noqa: F401
