"""ONNX Runtime for `evenflow export`, which compares what it gives with its own: a line of JSON each way.

  {"graph": "model.onnx"}                                   {"runtime": "1.16.3"}
  {"inputs": {"windows": {"type": "float32",                {"outputs": {"nll": {"type": "float64", "shape": [],
    "shape": [2, 128, 64], "bytes": "00002041..."}}}          "bytes": "..."}, ...}}
"""
import json
import sys

import numpy
import onnxruntime


def array(of):
    return numpy.frombuffer(bytes.fromhex(of["bytes"]), of["type"]).reshape(of["shape"])


def described(values):
    return {"type": values.dtype.name, "shape": values.shape, "bytes": values.tobytes().hex()}


session = None
for line in sys.stdin:
    request = json.loads(line)
    if "graph" in request:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(request["graph"], options, providers=["CPUExecutionProvider"])
        answer = {"runtime": onnxruntime.__version__}
    else:
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {name: array(of) for name, of in request["inputs"].items()})
        answer = {"outputs": {name: described(numpy.asarray(value)) for name, value in zip(names, values)}}
    print(json.dumps(answer), flush=True)
