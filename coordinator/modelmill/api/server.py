"""The coordinator as a process: `modelmill serve`, or embedded for the commands of one user.

    python -m modelmill.api.server --embedded

An embedded coordinator serves a socket in the user's state folder and ends by itself when it has been idle.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from modelmill_protos.v1 import (
    artifact_pb2,
    artifact_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    conversion_pb2,
    conversion_pb2_grpc,
)

from modelmill.api.artifact_servicer import ArtifactServicer
from modelmill.api.catalog_servicer import CatalogServicer
from modelmill.api.conversion_servicer import ConversionServicer
from modelmill.api.errors import FailureInterceptor
from modelmill.artifacts.store import ArtifactStore
from modelmill.conversions import Conversions
from modelmill.errors import ModelmillError
from modelmill.fleet.code_layer import CodeLayer
from modelmill.fleet.definitions import load_definitions
from modelmill.fleet.installation import Environments
from modelmill.fleet.local import LocalFleet
from modelmill.settings import Settings, load

log = structlog.get_logger(__name__)

_SERVICES = (
    conversion_pb2.DESCRIPTOR.services_by_name["ConversionService"].full_name,
    artifact_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"].full_name,
)
