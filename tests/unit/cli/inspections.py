"""Facts as the inspector and the rewriter's preview give them, written by hand."""


def mobile_net():
    """A frozen graph of some size, with every fact that a GraphDef may have."""
    layers = [(f"MobilenetV1/Conv2d_{number}_pointwise/Conv2D", 90000000 - number) for number in range(14)]
    return {
        "kind": "tf.graph_def",
        "graph": "frozen.pb",
        "description": "A graph of 152 nodes",
        "producer": 27,
        "min_consumer": 0,
        "nodes": 152,
        "variables": 0,
        "inputs": [tensor("image", "float32", [1, -1, -1, 3], op="Placeholder")],
        "outputs": [
            tensor("heatmap", "float32", [1, -1, -1, 17], op="BiasAdd"),
            tensor("offset", "float32", [1, -1, -1, 34], op="BiasAdd"),
        ],
        "candidate_inputs": [tensor("image", "float32", [1, -1, -1, 3])],
        "candidate_outputs": [tensor(name, "float32", None) for name in ("heatmap", "offset", "forward", "backward")],
        "operations": {"Const": 62, "BiasAdd": 31, "Relu6": 27, "Conv2D": 18, "Placeholder": 1},
        "parameters": 1258195,
        "parameters_by_dtype": {"float32": 1258187, "int32": 8},
        "parameter_bytes": 5032780,
        "control_edges": 0,
        "control_flow": {"v1": 0, "v2": 0, "loops": 0, "conditions": 0},
        "functions": [],
        "variable_list": [],
        "costs": {
            "input_shapes": {"image": [1, 224, 224, 3]},
            "multiply_adds": 1234567890,
            "activation_bytes": 10 << 20,
            "peak_activation_bytes": 3 << 20,
            "nodes": [
                {"name": name, "op": "Conv2D", "multiply_adds": count, "output_bytes": 1, "shapes": [[1, 7]]}
                for name, count in layers
            ],
            "uncounted": {"Mystery": 2},
        },
        "unknown_dimensions": [
            {"tensor": "heatmap:0", "shape": [1, -1, -1, 17], "cause": "image has no size of its own", "input": "image"}
        ],
        "unknown_dimensions_count": 76,
        "quantisation": {"fake_quant_nodes": 0, "ranges": 0, "tensors_without_range": []},
        "tensorflow": {
            "writer": "1.12.0",
            "keras": "",
            "readable": ["1.12", "1.15", "2.21"],
            "readable_stripped": {},
            "unreadable": {"1.5": "too old"},
        },
        "support": {
            "targets": [
                support("tflite", "1.12", convertible=False, missing={"Mystery": 2}),
                support("tflite", "1.15", needs="select", select={"Mystery": 2}),
                support("tflite", "2.21", needs="select", select={"Mystery": 2}),
                support("tfjs", "4.22", needs="builtin"),
            ],
            "nodes": [{"name": "odd", "op": "Mystery", "status": {"tflite 1.12": "missing", "tfjs 4.22": "builtin"}}],
        },
        "security": {
            "highest": "high",
            "findings": [
                {
                    "severity": "high",
                    "reason": "FILE_ACCESS",
                    "node": "read",
                    "op": "ReadFile",
                    "where": "function f",
                    "text": "it reads a file",
                    "count": 3,
                },
                {"severity": "low", "reason": "UNKNOWN_OPERATION", "node": "odd", "op": "Mystery", "text": "not known"},
            ],
            "scanned": {"graphs": 2, "nodes": 152},
        },
        "rewrites": [
            rewrite("tflite", "remove_identities", 4),
            rewrite("tflite", "prelu", 0, [{"node": "y", "reason": "alpha is computed"}]),
            rewrite("tfjs", "remove_identities", 4),
            rewrite("tfjs", "prelu", 0, [{"node": "y", "reason": "alpha is computed"}]),
        ],
        "notes": ["It was a long way."],
    }


def tensor(name, dtype, shape, **more):
    return {"name": name, "tensor": f"{name}:0", "dtype": dtype, "shape": shape, **more}


def support(target, version, convertible=True, needs="", **operations):
    empty = {"missing": {}, "select": {}, "custom": {}}
    verdict = {"convertible": convertible, "needs": needs, "why": ""}
    return {"target": target, "version": version, **verdict, **empty, **operations}


def rewrite(target, rule, count, nearly=()):
    nodes = [f"node_{number}" for number in range(count)]
    return {
        "target": target,
        "rule": rule,
        "count": count,
        "nodes": nodes,
        "nodes_count": count,
        "nearly": list(nearly),
        "nearly_count": len(nearly),
    }


def picture(*nodes):
    """Nodes of (name, operation, inputs...)."""
    made = [{"name": name, "op": op, "inputs": list(inputs)} for name, op, *inputs in nodes]
    return {"nodes": made, "nodes_count": len(made)}


def large_picture(blocks):
    """Blocks of a residual network with what trains it, ten nodes each, in scopes of a thousand blocks."""
    nodes, last = [("input", "Placeholder")], "input"
    for block in range(blocks):
        at = f"tower_{block % 4}/block_{block}"
        nodes += [
            (f"{at}/w", "Const"),
            (f"{at}/conv", "Conv2D", last, f"{at}/w"),
            (f"{at}/norm", "FusedBatchNorm", f"{at}/conv"),
            (f"{at}/relu", "Relu", f"{at}/norm"),
            (f"{at}/conv_1", "Conv2D", f"{at}/relu"),
            (f"{at}/add", "Add", f"{at}/conv_1", last),
            (f"gradients/{at}/conv_grad", "Conv2DBackpropInput", f"{at}/conv", f"{at}/add"),
            (f"gradients/{at}/relu_grad", "ReluGrad", f"{at}/relu", f"gradients/{at}/conv_grad"),
            (f"gradients/{at}/norm_grad", "FusedBatchNormGrad", f"gradients/{at}/relu_grad", f"^{at}/norm"),
            (f"train/{at}/apply", "ApplyAdam", f"gradients/{at}/norm_grad"),
        ]
        last = f"{at}/add"
    return picture(*nodes)
