"""What there is to say of a GraphDef, read from its nodes."""

from modelmill_inspector.graphs.facts import describe_graph, find_endpoints, named_endpoints, needs_checkpoint

__all__ = ["describe_graph", "find_endpoints", "named_endpoints", "needs_checkpoint"]
