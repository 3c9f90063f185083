"""The example.py of each exported folder: it needs what it imports, and no jaxdl but where it says.

Each is run by a test as its user would run it.
"""

_SHARES = """\
for c in np.argsort(-np.bincount(classes.ravel(), minlength=len(names))):
    if (share := (classes == c).mean()) > 0:
        print(f"{names[c]} {share:.1%}")
"""

ONNX = f'''\
"""Classes of a picture: python example.py photo.jpg (pip install onnxruntime pillow)"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
names = json.loads(model.get_modelmeta().custom_metadata_map["classes"])
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"))
(found,) = model.run(None, {{"images": image[None]}})  # as many images of one size as you like
classes = found[0] if found.ndim == 3 else found[0].argmax(-1)  # (height, width)
{_SHARES}'''

STABLEHLO = f'''\
"""Classes of a picture: python example.py photo.jpg (pip install jax flatbuffers pillow)"""

import json
import sys
from pathlib import Path

import numpy as np
from jax import export
from PIL import Image, ImageOps

model = export.deserialize(bytearray(Path(__file__).with_name("model.jax").read_bytes()))
names = json.loads(Path(__file__).with_name("classes.json").read_text("utf-8"))
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB"))
height, width = image.shape[:2]
images = np.zeros(model.in_avals[0].shape, np.uint8)  # a larger image does not fit
sizes = np.ones(model.in_avals[1].shape, np.int32)
images[0, :height, :width], sizes[0] = image, (height, width)
found = np.asarray(model.call(images, sizes))[0, :height, :width]
classes = found if found.ndim == 2 else found.argmax(-1)  # (height, width)
{_SHARES}'''

SAFETENSORS = f'''\
"""Classes of a picture: python example.py photo.jpg (with jaxdl)"""

import sys
from pathlib import Path

import numpy as np
from jaxdl import Segmenter

found = Segmenter.load(Path(__file__).parent).predict(sys.argv[1])
names, classes = found.names, found.classes  # (height, width)
{_SHARES}'''

TORCHVISION = '''\
"""What conv1_1 makes of a picture: python example.py photo.jpg (pip install safetensors pillow)

PyTorch: torchvision.models.vgg16().load_state_dict(load_file("model.safetensors"), strict=False)
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import load_file

weights = load_file(Path(__file__).with_name("model.safetensors"))
kernel, bias = weights["features.0.weight"], weights["features.0.bias"]  # (out, 3, 3, 3), (out,)
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")) / 255
image = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]  # as torchvision's loaders do
padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))  # (h, w, 3, 3, 3)
found = np.einsum("hwikl,oikl->hwo", patches, kernel) + bias
for channel, mean in enumerate(np.maximum(found, 0).mean((0, 1))):
    print(f"channel {channel}: mean {mean:.4f}")
'''
