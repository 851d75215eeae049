"""What each operation could do: an allow-list decides what passes, a catalogue says what the others are feared for.

The allow-list, `allowed_operations.txt`, names the operations that only compute, or keep their state in the process.
`workers/environments/op_allow_list` makes it from the registries of all TensorFlow versions. Whatever it does not name
is reported: with the catalogue's words where the catalogue knows it, else as not allowed, or as not known.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import FrozenSet, Optional, Tuple

from modelmill_worker.graph_def import NodeDef
from modelmill_worker.op_versions_table import table

FILE = Path(__file__).with_name("allowed_operations.txt")


@dataclass(frozen=True)
class Danger:
    """Why operations are reported.

    saver: "save" or "restore" for what every checkpoint's graph has to save or restore it.
    """

    severity: str
    reason: str
    text: str
    saver: str = ""


#: (danger, pattern of the operations' whole names); the first that matches counts.
_CATALOGUE: Tuple[Tuple[Danger, str], ...] = (
    (
        Danger("critical", "SAVES_CHECKPOINT", "writes files: tensors under a prefix that the graph chooses", "save"),
        r"Save(V2|Slices)?|MergeV2Checkpoints",
    ),
    (
        Danger("medium", "RESTORES_CHECKPOINT", "reads a checkpoint from a path that the graph chooses", "restore"),
        r"Restore(V2|Slice)?|DTensorRestoreV2",
    ),
    (
        Danger("critical", "WRITES_FILES", "writes files at a path that the graph chooses"),
        r"WriteFile|DistributedSave|SaveDataset(V2)?|(Experimental)?DatasetToTFRecord|SnapshotDataset(V2)?|DumpTensor"
        r"|CacheDataset(V2)?|CalibrationStatisticsSaver|CreateSummary(File|Db)Writer",
    ),
    (
        Danger("high", "RUNS_PYTHON", "calls a Python function of the program that runs the model"),
        r"PyFunc|PyFuncStateless|EagerPyFunc",
    ),
    (
        Danger("high", "CALLS_NATIVE_CODE", "runs code outside of TensorFlow's own operations"),
        r"XlaCustomCall(V2)?|XlaHostCompute|_XlaHostComputeMlir|RemoteFusedGraphExecute|DecodeVideo|DecodeAudio(V2)?"
        r"|EncodeAudio",
    ),
    (
        Danger("high", "RUNS_HIDDEN_GRAPH", "runs a graph that it gets as a string, when it is first reached"),
        r"DatasetFromGraph",
    ),
    (
        Danger("high", "OPENS_NETWORK", "speaks to an address on the network that the graph chooses"),
        r"Rpc|TryRpc|Rpc(Call|CheckStatus|Client|GetValue|Server|ServerRegister|ServerStart)|DataServiceDataset(V\d)?"
        r"|RegisterDataset(V2)?|.*BigQuery.*|Kafka.*|Kinesis.*|Ignite.*|PubSub.*|Bigtable.*",
    ),
    (
        Danger("high", "READS_FILES", "reads files at a path that the graph chooses"),
        r"ReadFile|(Experimental)?MatchingFiles(Dataset)?|(WholeFile|TextLine|FixedLengthRecord|TFRecord)Reader(V2)?"
        r"|(TextLine|TFRecord|FixedLengthRecord)Dataset(V2)?|LMDBReader|(Experimental)?(LMDB|Sql|CSV)Dataset(V2)?"
        r"|LoadDataset|SnapshotDatasetReader|SnapshotNestedDatasetReader|SnapshotChunkDataset|ListSnapshotChunksDataset"
        r"|LoadAndRemapMatrix|GenerateVocabRemapping|RecordInput|ImmutableConst|FixedUnigramCandidateSampler|Skipgram"
        r"|DecodeProtoV2|EncodeProto|SequenceFileDataset|ObtainNext",
    ),
    (
        Danger("low", "READS_VOCABULARY", "reads a table from a text file"),
        r"InitializeTableFromTextFile(V2)?",
    ),
    (
        Danger("high", "SENDS_DEBUG_DATA", "sends its input to the addresses or files in debug_urls"),
        r"Debug(Identity(V2|V3)?|NanCount|NumericSummary)",
    ),
    (
        Danger("medium", "HOLDS_A_PROGRAM", "runs a compiled program that is not searched here"),
        r"XlaCallModule|MlirPassthroughOp|_?TPUCompile(Mlir)?|TfLiteSubgraphExecute|DeserializeIterator",
    ),
    (
        Danger("medium", "CHANGES_FILE_SYSTEM", "changes how TensorFlow reaches files"),
        r"FileSystemSetConfiguration|GcsConfigure.*",
    ),
    (
        Danger("medium", "SPEAKS_TO_OTHER_PROCESSES", "exchanges data with other processes or devices"),
        r"_?(Host)?(Send|Recv)|RemoteCall|Collective.*|_?Nccl.*|_?XlaSend.*|_?XlaRecv.*|(Infeed|Outfeed).*|WorkerHeartbeat"
        r"|_?(Configure|Initialize|Shutdown|WaitFor|Disconnect|Connect|Finalize).*TPU.*",
    ),
    (Danger("medium", "STOPS_PROCESS", "ends the process that runs it"), r"Abort"),
    (Danger("low", "SLEEPS", "waits for as long as the graph says"), r"Sleep.*|ExperimentalSleepDataset"),
    (
        Danger("low", "WRITES_SUMMARIES", "writes to a log that was opened elsewhere"),
        r"(Write.*|Close|Flush)Summary(Writer)?|SummaryWriter|ImportEvent|StatsAggregatorSetSummaryWriter",
    ),
    (Danger("high", "WRITES_FILES", "prints to a file"), r"PrintV2"),
    (Danger("info", "PRINTS", "prints to the log"), r"Print"),
)
_COMPILED = tuple((danger, re.compile(pattern)) for danger, pattern in _CATALOGUE)

_INTERNAL = Danger("medium", "INTERNAL_OPERATION", "is internal to TensorFlow, which takes it from no file")
_CONTRIB = Danger("medium", "OPERATION_OF_CONTRIB", "is of tf.contrib: a library outside of TensorFlow's core runs it")
_NOT_ALLOWED = Danger("medium", "OPERATION_NOT_ALLOWED", "is not among the operations known to be harmless")
_UNKNOWN = Danger(
    "medium", "OPERATION_UNKNOWN", "is known to no TensorFlow: a custom library of machine code would have to run it"
)
_PRINTS = Danger("info", "PRINTS", "prints to the log")

#: Where PrintV2 prints, other than to a file.
_STREAMS = frozenset([b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)"])
#: Where a protocol buffer's description comes from, other than from a file.
_DESCRIPTIONS = (b"local://", b"bytes://")


def danger_of(node: NodeDef) -> Optional[Danger]:
    """Why a node is reported, from its operation and its attributes alone; None where it only computes."""
    danger = danger_of_operation(node.op)
    return danger if danger is None else _excused(node, danger)


@lru_cache(maxsize=4096)
def danger_of_operation(operation: str) -> Optional[Danger]:
    """Why an operation is reported, whatever its attributes."""
    if operation in allowed():
        return None
    found = feared(operation)
    if found is not None:
        return found
    if not is_known(operation):
        return _UNKNOWN
    if operation.startswith("_"):
        return _INTERNAL
    return _CONTRIB if operation in table().contrib else _NOT_ALLOWED


def feared(operation: str) -> Optional[Danger]:
    """What the catalogue says of an operation."""
    return next((danger for danger, pattern in _COMPILED if pattern.fullmatch(operation)), None)


@lru_cache(maxsize=None)
def allowed() -> FrozenSet[str]:
    """The operations that pass."""
    lines = FILE.read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def is_known(operation: str) -> bool:
    """Whether some TensorFlow version, or its tf.contrib, knows an operation."""
    return operation in _known()


@lru_cache(maxsize=None)
def _known() -> FrozenSet[str]:
    return frozenset(table().operations()) | frozenset(table().contrib)


def _excused(node: NodeDef, danger: Danger) -> Optional[Danger]:
    """The danger, unless the node's attributes show that there is none."""
    if node.op == "PrintV2" and node.attr["output_stream"].s in _STREAMS:
        return _PRINTS
    if danger.reason == "SENDS_DEBUG_DATA" and not any(node.attr["debug_urls"].list.s):
        return None
    if node.op == "FixedUnigramCandidateSampler" and not node.attr["vocab_file"].s:
        return None
    if node.op in ("DecodeProtoV2", "EncodeProto"):
        source = node.attr["descriptor_source"].s
        if not source or source.startswith(_DESCRIPTIONS):
            return None
    return danger
