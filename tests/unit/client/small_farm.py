"""A small farm for tests of the client and the command: real gRPC, the real artifact service, scripted conversions."""

import asyncio

import grpc
from modelmill.api.artifact_servicer import ArtifactServicer
from modelmill.api.errors import FailureInterceptor
from modelmill.artifacts import ArtifactStore
from modelmill.client import conversion_pb2
from modelmill.errors import ModelmillError
from modelmill.wire import struct_of, value_of
from modelmill_protos.v1 import artifact_pb2_grpc, catalog_pb2, catalog_pb2_grpc, conversion_pb2_grpc, failure_pb2

Conversion = conversion_pb2.Conversion


class Conversions(conversion_pb2_grpc.ConversionServiceServicer):
    """Conversions that "succeed" by giving the source back as the target; what the client needs, and no more."""

    def __init__(self, store):
        self.store = store
        self.conversions = {}
        self.created = []
        self.watched = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.cut_after = None
        self.facts = {"kind": "tf.graph_def"}
        self.inspected = []

    async def InspectModel(self, request, context):  # noqa: N802
        if self.store.missing(file.digest for file in request.source.files):
            raise ModelmillError("FILES_MISSING", "Upload them.", {"files": []})
        self.inspected.append(value_of(request.options))
        return conversion_pb2.InspectModelResponse(model=struct_of(self.facts))

    async def CreateConversion(self, request, context):  # noqa: N802
        missing = self.store.missing(file.digest for file in request.spec.source.files)
        if missing:
            raise ModelmillError("FILES_MISSING", "Upload them.", {"files": []})
        self.created.append(request.request_id)
        return self.conversions.setdefault(
            request.request_id,
            Conversion(
                id=request.request_id, request_id=request.request_id, spec=request.spec, state=Conversion.QUEUED
            ),
        )

    async def GetConversion(self, request, context):  # noqa: N802
        if request.id not in self.conversions:
            raise ModelmillError("CONVERSION_NOT_FOUND", f"There is no conversion {request.id}.", {"id": request.id})
        return self.conversions[request.id]

    async def ListConversions(self, request, context):  # noqa: N802
        name = request.filter.removeprefix("state=")
        found = [item for item in self.conversions.values() if not name or Conversion.State.Name(item.state) == name]
        return conversion_pb2.ListConversionsResponse(conversions=found[: request.page_size or None])

    async def WatchConversion(self, request, context):  # noqa: N802
        self.watched.append(request.from_sequence)
        conversion = await self.GetConversion(request, context)
        for event in self.events(conversion):
            if event.sequence >= request.from_sequence:
                yield event
            if event.sequence == self.cut_after:
                self.cut_after = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the network is gone")
            if event.sequence == 2:
                await self.hold.wait()

    async def CancelConversion(self, request, context):  # noqa: N802
        conversion = await self.GetConversion(request, context)
        conversion.state = Conversion.CANCELLED
        self.hold.set()
        return conversion

    def events(self, conversion):
        yield conversion_pb2.Event(sequence=1, state_change=conversion_pb2.StateChange(state=Conversion.RUNNING))
        yield conversion_pb2.Event(
            sequence=2, step_change=conversion_pb2.Step(id="a", state=conversion_pb2.Step.RUNNING)
        )
        for number in range(3, 7):
            yield conversion_pb2.Event(
                sequence=number, step_log=conversion_pb2.StepLog(step_id="a", text=f"{number}\n")
            )
        if conversion.state != Conversion.CANCELLED:
            conversion.state = Conversion.SUCCEEDED
            if not conversion.results:
                for target in conversion.spec.targets:
                    labels = [f"{target.name}@{version}" for version in ("1.9.0", "1.10.1")]
                    for label in labels if target.every_version else [target.name]:
                        conversion.results.append(self.result(label, conversion))
        yield conversion_pb2.Event(sequence=7, state_change=conversion_pb2.StateChange(state=conversion.state))

    def result(self, label, conversion):
        verification = conversion_pb2.Verification(state=conversion_pb2.Verification.PASSED)
        result = conversion_pb2.Result(target=label, verification=verification)
        if label.startswith("bad"):
            conversion.state = Conversion.FAILED
            conversion.failure.reason = result.failure.reason = "VERIFICATION_FAILED"
        else:
            result.artifact.CopyFrom(conversion.spec.source)
        return result


Environment = catalog_pb2.Environment


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Environments that install in a moment; `held` are those that wait until they are given up."""

    def __init__(self):
        self.environments = {
            "base": Environment(name="base", python="3.11", state=Environment.INSTALLED, disk_size=100 << 20),
            "tf-1.10": Environment(
                name="tf-1.10", python="3.6", provides={"tensorflow": "1.10.1"}, state=Environment.INSTALLABLE
            ),
            "tf-1.9": Environment(
                name="tf-1.9",
                python="3.6",
                provides={"tensorflow": "1.9.0"},
                state=Environment.UNAVAILABLE,
                unavailable_reason="there is no CPython 3.6.",
            ),
            "tf-2.15": Environment(
                name="tf-2.15",
                python="3.11",
                provides={"tensorflow": "2.15.1"},
                state=Environment.INSTALLED,
                disk_size=1 << 30,
            ),
        }
        self.held = set()
        self.at_work = 0
        self.most_at_work = 0
        self.at_rest = asyncio.Event()
        self.given_up = []

    async def ListTargets(self, request, context):  # noqa: N802
        return catalog_pb2.ListTargetsResponse(targets=[catalog_pb2.Target(name="tflite")])

    async def ListPlugins(self, request, context):  # noqa: N802
        convert = catalog_pb2.Edge(name="convert", requires=["tensorflow>=1.10"])
        plugins = [
            catalog_pb2.Plugin(name="quantizer", edges=[convert]),
            catalog_pb2.Plugin(name="inspector", edges=[catalog_pb2.Edge(name="inspect")]),
        ]
        return catalog_pb2.ListPluginsResponse(plugins=plugins)

    async def ListEnvironments(self, request, context):  # noqa: N802
        return catalog_pb2.ListEnvironmentsResponse(environments=self.environments.values(), disk_size=1 << 30)

    async def InstallEnvironment(self, request, context):  # noqa: N802
        async for message in self._work(request.name, "unpacking"):
            yield message

    async def CheckEnvironment(self, request, context):  # noqa: N802
        async for message in self._work(request.name, "importing"):
            yield message

    async def RemoveEnvironment(self, request, context):  # noqa: N802
        if request.name == "base":
            raise ModelmillError("ENVIRONMENT_IN_USE", "base is in use.", {"environment": "base"})
        self.environments[request.name].state = Environment.INSTALLABLE
        return self.environments[request.name]

    async def _work(self, name, what):
        environment = self.environments.get(name)
        if environment is None:
            raise ModelmillError("ENVIRONMENT_NOT_FOUND", "There is no such environment.", {"name": name})
        self.at_work += 1
        self.at_rest.clear()
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            yield catalog_pb2.EnvironmentProgress(message=f"{name}: {what}")
            if name in self.held:
                await asyncio.Event().wait()
            await asyncio.sleep(0.05)
            if environment.state == Environment.UNAVAILABLE:
                failure = failure_pb2.Failure(reason="ENVIRONMENT_UNAVAILABLE", message=environment.unavailable_reason)
                yield catalog_pb2.EnvironmentProgress(failure=failure)
            else:
                environment.state = Environment.INSTALLED
                yield catalog_pb2.EnvironmentProgress(message=f"{name}: It works: imports, freezes")
                yield catalog_pb2.EnvironmentProgress(environment=environment)
        except asyncio.CancelledError:
            self.given_up.append(name)
            raise
        finally:
            self.at_work -= 1
            if not self.at_work:
                self.at_rest.set()


class Farm:
    """A server with the real artifact service, on a socket at which it can be stopped and started again."""

    def __init__(self, folder):
        self.store = ArtifactStore(folder / "artifacts")
        self.conversions = Conversions(self.store)
        self.catalog = Catalog()
        self.address = f"unix:{folder}/farm.sock"
        self.server = None

    async def start(self):
        self.server = grpc.aio.server(interceptors=[FailureInterceptor()])
        artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(self.store), self.server)
        conversion_pb2_grpc.add_ConversionServiceServicer_to_server(self.conversions, self.server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(self.catalog, self.server)
        self.server.add_insecure_port(self.address)
        await self.server.start()

    async def ensure(self):
        if self.server is None:
            await self.start()

    async def stop(self):
        if self.server is not None:
            await self.server.stop(None)
            self.server = None
