"""acryl-datahub's client, as its users call it. Input and output are those of java/DataHub.java."""

import sys
import warnings

warnings.simplefilter("ignore")

from datahub.emitter.mcp import MetadataChangeProposalWrapper  # noqa: E402
from datahub.emitter.rest_emitter import DatahubRestEmitter  # noqa: E402
from datahub.ingestion.graph.client import DatahubClientConfig, DataHubGraph  # noqa: E402
from datahub.metadata.schema_classes import DatasetPropertiesClass  # noqa: E402

DATASET = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)"
# A field path of a deeply nested schema makes a request target of more than 11 KB.
DEEP = f"urn:li:schemaField:({DATASET},{'[version=2.0].[type=struct].order.' * 260}id)"


def write(emitter, description):
    emitter.emit_mcp(MetadataChangeProposalWrapper(entityUrn=DATASET, aspect=DatasetPropertiesClass(description=description)))


def run(server, clients, operation, token):
    kept = None if token == "none" else token
    if operation == "connect":
        # What every command of the CLI and every ingestion does first.
        return f"version {DataHubGraph(DatahubClientConfig(server=server, token=kept)).server_config.service_version}"
    # One of each for every token, kept as a program would: their connections too.
    if token not in clients:
        graph = DataHubGraph(DatahubClientConfig(server=server, token=kept))
        clients[token] = graph, DatahubRestEmitter(server, token=kept, openapi_ingestion=False)
    graph, emitter = clients[token]
    if operation == "write":
        return write(emitter, "orders")
    if operation == "large":
        return write(emitter, "x" * 1_000_000)
    if operation in ("read", "target"):
        return graph.get_aspect(DATASET if operation == "read" else DEEP, DatasetPropertiesClass).description
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
