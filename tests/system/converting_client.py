"""A client in a process of its own: converts a checkpoint and prints the conversion as JSON.

python converting_client.py ADDRESS CHECKPOINT GRAPH OUTPUT TARGET...
"""

import sys
from pathlib import Path

from google.protobuf import json_format
from modelmill.client import Client, collect, conversion_pb2


def main() -> None:
    address, checkpoint, graph, output, *targets = sys.argv[1:]
    spec = conversion_pb2.ConversionSpec(targets=[conversion_pb2.TargetRequest(name=name) for name in targets])
    with Client(address) as client:
        conversion = client.convert(collect(Path(checkpoint), Path(graph)), spec, Path(output))
    print(json_format.MessageToJson(conversion))


if __name__ == "__main__":
    main()
