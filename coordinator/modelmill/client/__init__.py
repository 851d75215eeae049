"""The Python client: `Client` for blocking code, `AsyncClient` for asyncio; both have the same methods.

    from modelmill.client import Client, conversion_pb2

    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name="tflite")])
    with Client("farm.example:50051") as client:
        conversion = client.convert(Path("frozen.pb"), spec, Path("out"))

What methods take and return are the messages of the public API, `modelmill_protos.v1`: the same as in every other
language. What goes wrong is a `modelmill.errors.ModelmillError` with the reason that the farm gave.
"""

from modelmill_protos.v1 import artifact_pb2, catalog_pb2, conversion_pb2

from modelmill.client.async_client import AsyncClient
from modelmill.client.blocking import Client
from modelmill.client.outcome import ENDED, has_ended, has_succeeded
from modelmill.client.patience import Patience
from modelmill.client.sources import Source, SourceFile, collect
from modelmill.client.transfer import Transfer

__all__ = [
    "ENDED",
    "AsyncClient",
    "Client",
    "Patience",
    "Source",
    "SourceFile",
    "Transfer",
    "artifact_pb2",
    "catalog_pb2",
    "collect",
    "conversion_pb2",
    "has_ended",
    "has_succeeded",
]
