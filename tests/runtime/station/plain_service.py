"""What a user would write instead: FastAPI and ONNX Runtime in forty lines. ``python plain_service.py MODEL PORT``."""

import os
import sys

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import uvicorn
from fastapi import FastAPI, HTTPException, UploadFile

SIZE = 224
app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = len(os.sched_getaffinity(0))
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


def tensor(data: bytes) -> npt.NDArray[np.uint8]:
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise HTTPException(400, "not an image")
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = cv2.resize(frame[top : top + side, left : left + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(square[None, ..., ::-1], np.uint8)


@app.post("/predict")
def predict(images: UploadFile) -> dict[str, object]:
    logits = session.run(["logits"], {"image": tensor(images.file.read())})[0][0]
    exponent = np.exp(logits - logits.max())
    probabilities = exponent / exponent.sum()
    return {"class": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
