"""Identity nodes taken out of an exported graph.

torch's exporter keeps one of several equal tensors and gives the others an Identity node of it. Networks have equal
tensors where a batch norm is untrained or was initialised with zeros. Every consumer of a graph here (quantiser,
executor, FP16 pass) wants a weight to be a weight.
"""

from __future__ import annotations

import onnx


def without_identities(model: onnx.ModelProto) -> onnx.ModelProto:
    """In place: an Identity of a weight becomes a weight of its own, by its name; any other is passed over."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    instead: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = instead.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type != "Identity" or (node.output[0] in outputs and source not in weights):
            kept.append(node)
        elif source in weights:
            copy = onnx.TensorProto()
            copy.CopyFrom(weights[source])
            copy.name = node.output[0]
            graph.initializer.append(copy)
            weights[copy.name] = copy
        else:
            instead[node.output[0]] = source
    if len(kept) == len(graph.node):
        return model
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = instead.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)
    return model
