"""From a training graph to one that infers: each module makes one change, `inference_graph` all of them in order."""
