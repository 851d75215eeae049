"""ConversionService: protobuf in, protobuf out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelmill_protos.v1 import conversion_pb2, conversion_pb2_grpc

from modelmill.api.conversion_messages import conversion_message, event_message, plan_message, spec_of
from modelmill.conversions import Conversions, ConversionState
from modelmill.errors import ModelmillError
from modelmill.wire import artifact_of, struct_of, value_of

_PAGE = 50
_LARGEST_PAGE = 1000

Context = grpc.aio.ServicerContext[Any, Any]


class ConversionServicer(conversion_pb2_grpc.ConversionServiceServicer):
    """Answers with what `Conversions` says; errors become statuses in `errors.FailureInterceptor`."""

    def __init__(self, conversions: Conversions) -> None:
        self._conversions = conversions

    async def CreateConversion(
        self, request: conversion_pb2.CreateConversionRequest, context: Context
    ) -> conversion_pb2.Conversion:
        conversion = await self._conversions.create(spec_of(request.spec), request.request_id)
        return conversion_message(conversion)

    async def GetConversion(
        self, request: conversion_pb2.GetConversionRequest, context: Context
    ) -> conversion_pb2.Conversion:
        return conversion_message(await self._conversions.get(request.id))

    async def ListConversions(
        self, request: conversion_pb2.ListConversionsRequest, context: Context
    ) -> conversion_pb2.ListConversionsResponse:
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        if size < 0:
            raise ModelmillError("INVALID_PAGE_SIZE", "A page has at least one conversion; leave page_size out for 50.")
        page, following = await self._conversions.page(_state_of(request.filter), size, _before(request.page_token))
        return conversion_pb2.ListConversionsResponse(
            conversions=[conversion_message(conversion) for conversion in page],
            next_page_token="" if following is None else str(following),
        )

    async def WatchConversion(
        self, request: conversion_pb2.WatchConversionRequest, context: Context
    ) -> AsyncIterator[conversion_pb2.Event]:
        async for event in self._conversions.watch(request.id, request.from_sequence):
            yield event_message(event)

    async def CancelConversion(
        self, request: conversion_pb2.CancelConversionRequest, context: Context
    ) -> conversion_pb2.Conversion:
        return conversion_message(await self._conversions.cancel(request.id))

    async def PlanConversion(
        self, request: conversion_pb2.PlanConversionRequest, context: Context
    ) -> conversion_pb2.Plan:
        return plan_message(await self._conversions.plan(spec_of(request.spec)))

    async def InspectModel(
        self, request: conversion_pb2.InspectModelRequest, context: Context
    ) -> conversion_pb2.InspectModelResponse:
        facts = await self._conversions.inspect(artifact_of(request.source), value_of(request.options))
        return conversion_pb2.InspectModelResponse(model=struct_of(facts))


def _state_of(text: str) -> ConversionState | None:
    if not text:
        return None
    name, _, value = text.partition("=")
    if name.strip() != "state" or value.strip() not in ConversionState.__members__:
        known = ", ".join(ConversionState.__members__)
        raise ModelmillError("INVALID_FILTER", f"The filter {text!r} is not known; give state= and one of: {known}.")
    return ConversionState(value.strip())


def _before(token: str) -> int | None:
    if not token:
        return None
    if not token.isdecimal():
        raise ModelmillError("INVALID_PAGE_TOKEN", "The page_token is not one that ListConversions has returned.")
    return int(token)
