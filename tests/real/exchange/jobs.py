"""The jobs: `metadata ingest` and `datahub ingest` as a pod runs them, with their own commands and configuration files."""

import json
import os
import sqlite3
import subprocess
import time

PATIENCE = 300


class Done:
    def __init__(self, code, output, seconds):
        self.code, self.output, self.seconds = code, output, seconds


def run(command, root, settings):
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment |= {"HOME": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "400", **settings}
    began = time.monotonic()
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=root, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    return Done(done.returncode, done.stdout, time.monotonic() - began)


def metadata_ingest(python, root, server, token_file, tables):
    """The tables of an SQLite database, one request each. The client reads the token from the file."""
    database = root / "shop.db"
    database.unlink(missing_ok=True)
    with sqlite3.connect(database) as connection:
        for name in tables:
            connection.execute(f"create table {name} (id integer primary key, name text)")
    connection.close()
    off = ("markDeletedTables", "markDeletedSchemas", "markDeletedDatabases", "markDeletedStoredProcedures",
           "includeStoredProcedures", "includeOwners", "includeTags", "includeViews")
    workflow = {
        "source": {
            "type": "sqlite", "serviceName": "shop",
            "serviceConnection": {"config": {"type": "SQLite", "database": "sales", "databaseMode": str(database)}},
            "sourceConfig": {"config": {"type": "DatabaseMetadata", **dict.fromkeys(off, False)}},
        },
        "sink": {"type": "metadata-rest", "config": {"bulk_sink_batch_size": 1}},
        "workflowConfig": {"openMetadataServerConfig": {
            "hostPort": f"{server}/api", "authProvider": "openmetadata", "enableVersionValidation": False,
            "securityConfig": {"jwtToken": str(token_file)},
        }},
    }
    file = root / "workflow.json"
    file.write_text(json.dumps(workflow))
    return run([python.parent / "metadata", "ingest", "-c", file], root, {})


def datahub_ingest(python, root, server, authentication, datasets):
    """Datasets from a file, one request each. `authentication` are the variables `DATAHUB_AUTH_*`."""
    source, recipe = root / "datasets.json", root / "recipe.yml"
    source.write_text(json.dumps([{
        "entityType": "dataset", "entityUrn": urn, "changeType": "UPSERT", "aspectName": "datasetProperties",
        "aspect": {"json": {"description": urn, "customProperties": {}, "tags": []}},
    } for urn in datasets]))
    recipe.write_text(json.dumps({
        "source": {"type": "file", "config": {"path": str(source)}},
        "sink": {"type": "datahub-rest", "config": {"server": server, "mode": "ASYNC", "max_threads": 1}},
    }))
    settings = {"DATAHUB_TELEMETRY_ENABLED": "false", "DATAHUB_GMS_URL": server, "DATAHUB_SKIP_CONFIG": "true"}
    return run([python.parent / "datahub", "ingest", "-c", recipe], root, settings | authentication)
