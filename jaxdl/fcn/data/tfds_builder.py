"""The TFDS builder of prepared pairs. It imports TFDS, which takes long: see `records`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxdl.fcn.data.decode import VOID

SPLIT = "pairs"


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Not TFDS's: that looks for a hosted copy and leaves a folder in the system's /tmp."""


class VocSegmentation(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """TFDS builder `voc_segmentation`: the image as it was, the label as a grey PNG, 255 void."""

    VERSION = tfds.core.Version("1.0.0")
    # TFDS looks for checksum files beside the class, with importlib_resources, which it does not
    # install. There are none.
    code_path = None

    def __init__(self, *, data_dir: str, records: Iterator[tuple[int, dict[str, Any]]]) -> None:
        self._records = records
        super().__init__(data_dir=data_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "height": tfds.features.Scalar(np.int32),
            "width": tfds.features.Scalar(np.int32),
            "sha256": tfds.features.Text(),
            "pixels": tfds.features.Tensor(shape=(VOID + 1,), dtype=np.int32),
        }
        return _Info(
            builder=self,
            description="Images and class index labels (255: void), as jaxdl prepared them.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,  # records keep the order of the ids
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from self._records

    # TFDS prints about downloads here; there are none, and our caller reports the progress.
    def _log_download_bytes(self) -> None: ...

    def _log_download_done(self) -> None: ...
