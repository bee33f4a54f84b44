"""openmetadata-ingestion's client, as its users call it. Input and output are those of java/DataHub.java."""

import logging
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from metadata.generated.schema.api.data.createTable import CreateTableRequest  # noqa: E402
from metadata.generated.schema.entity.data.table import Column, Table  # noqa: E402
from metadata.generated.schema.entity.services.connections.metadata.openMetadataConnection import (  # noqa: E402
    AuthProvider,
    OpenMetadataConnection,
)
from metadata.generated.schema.security.client.openMetadataJWTClientConfig import OpenMetadataJWTClientConfig  # noqa: E402
from metadata.ingestion.ometa.ometa_api import OpenMetadata  # noqa: E402
from metadata.sdk import configure  # noqa: E402


def table(description):
    columns = [Column(name="id", dataType="INT")]
    return CreateTableRequest(name="orders", description=description, databaseSchema="shop.sales.public", columns=columns)


def running(server, token):
    """The client of a program whose first request, for the version, was answered."""
    security = OpenMetadataJWTClientConfig(jwtToken=token)
    return OpenMetadata(OpenMetadataConnection(
        hostPort=f"{server}/api", authProvider=AuthProvider.openmetadata, securityConfig=security, enableVersionValidation=False,
    ))


def run(server, clients, operation, token):
    if operation == "connect" or token == "none":
        configure(host=f"{server}/api", jwt_token=None if token == "none" else token)
        return "configure() returns"
    client = clients.get(token) or clients.setdefault(token, running(server, token))
    if operation == "read":
        return [it.name.root for it in client.list_entities(Table, limit=2).entities]
    if operation in ("write", "large"):
        return client.create_or_update(table("orders" if operation == "write" else "x" * 1_000_000)).name.root
    raise ValueError(operation)


def main():
    server, clients = sys.argv[1], {}
    print("ready", flush=True)
    for line in sys.stdin:
        operation, token = line.split()
        try:
            shown = f"ok {run(server, clients, operation, token)}"
        except Exception as error:  # noqa: BLE001
            shown = f"failed {type(error).__name__}: {error}"
        print(" ".join(shown.split()), flush=True)


if __name__ == "__main__":
    main()
