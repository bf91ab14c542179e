"""A client that knows nothing of cuts: it speaks the Open Inference Protocol, as Triton's own clients do.

    pip install 'tritonclient[grpc]' pillow
    python examples/triton_client.py --server 192.168.1.20:50051 pictures/

It asks the server what the model takes, sends each picture whole, and prints the likeliest class.
"""

import argparse
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from PIL import Image


def main() -> None:
    """Prints a line a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a folder")
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="efficientnet_lite0")
    arguments = parser.parse_args()

    client = triton.InferenceServerClient(arguments.server)
    metadata = client.get_model_metadata(arguments.model)
    (wanted,), (scores,) = metadata.inputs, metadata.outputs
    height, width = wanted.shape[1:3]
    for path in sorted(arguments.pictures.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB").resize((width, height)), np.uint8)[None]
        picture = triton.InferInput(wanted.name, list(pixels.shape), wanted.datatype)
        picture.set_data_from_numpy(pixels)
        answer = client.infer(arguments.model, [picture]).as_numpy(scores.name)
        print(f"{path.name}: class {answer.argmax()}")


if __name__ == "__main__":
    main()
