"""A watch begins anywhere, and goes on where a lost connection left it."""

from pathlib import Path

import grpc
from asking import Watch, assert_whole, convert, specification
from coordinator_process import CoordinatorProcess
from cut_connection import CuttingProxy
from modelmill.client import Client
from modelmill_protos.v1 import conversion_pb2, conversion_pb2_grpc


def test_begins_at_any_event(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    conversion = convert(client, frozen, specification("test-copy"))
    events = list(client.watch_conversion(conversion.id))
    assert_whole(events)

    with grpc.insecure_channel(shared_coordinator.address) as channel:
        stub = conversion_pb2_grpc.ConversionServiceStub(channel)
        for sequence in (0, 1, 2, len(events), len(events) + 1):
            request = conversion_pb2.WatchConversionRequest(id=conversion.id, from_sequence=sequence)
            assert list(stub.WatchConversion(request)) == events[max(sequence - 1, 0) :]


def test_goes_on_with_exactly_the_rest_after_each_cut(
    shared_coordinator: CoordinatorProcess, client: Client, frozen: Path
):
    spec = specification("test-slow-progress", options={"steps": 15, "seconds": 0.1})
    with CuttingProxy(shared_coordinator.address) as proxy, Client(proxy.address) as cut_client:
        begun = cut_client.begin(frozen, spec)
        watch = Watch(cut_client, begun.id)
        for part in ("part 3", "part 7", "part 11"):
            watch.until(lambda event, part=part: part in event.step_log.text)
            proxy.cut()
        events = watch.to_end()
        assert proxy.connections >= 4

    assert_whole(events)
    assert events == list(client.watch_conversion(begun.id))
    assert client.get_conversion(begun.id).state == conversion_pb2.Conversion.SUCCEEDED


def test_that_is_left_disturbs_nothing(shared_coordinator: CoordinatorProcess, client: Client, frozen: Path):
    begun = client.begin(frozen, specification("test-slow-progress"))
    for event in client.watch_conversion(begun.id):
        if event.step_progress.message.startswith("part"):
            break

    assert_whole(Watch(client, begun.id).to_end())
    assert client.get_conversion(begun.id).state == conversion_pb2.Conversion.SUCCEEDED
