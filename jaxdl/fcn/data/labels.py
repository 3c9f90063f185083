"""Whether labels can be learnt: counts the pixels of each class before anything is trained.

`Prepared.pixels` has the counts: no label is read again.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int32

from jaxdl.errors import InputError
from jaxdl.fcn.data.decode import VOID
from jaxdl.files.text import visible

MOST_VOID = 0.2  # a larger share of void pixels gets a warning; VOC2012's is 0.06
_FEW = 5  # class names in a message


def some(names: Sequence[str]) -> str:
    """Names for a message, the first few of many."""
    return ", ".join(map(visible, names[:_FEW])) + (
        f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    )


def check_labels(
    classes: Sequence[str],
    train: Int32[np.ndarray, "n 256"],
    test: Int32[np.ndarray, "m 256"],
    name: Callable[[int], str],
) -> list[str]:
    """What makes the results of these labels doubtful, a line for each; none is the usual case.

    Args:
        classes: their names; class 0 is the background.
        train: pixels of each value in the training labels.
        test: the same of the test labels.
        name: file of training label i, for a message.

    Raises:
        InputError: nothing can be learnt: all of a side is void, or the training labels hold 0 and
            255 alone, as masks in black and white do, whose object would count as void.
    """
    warnings = []
    last = len(classes) - 1
    for side, pixels in (("training", train), ("test", test)):
        sums = pixels.sum(0, dtype=np.int64)
        void = sums[VOID] / max(1, sums.sum())
        if void == 1.0:
            where = f"{name(0)}: " if side == "training" else ""
            raise InputError(
                f"{where}all pixels of all {len(pixels)} {side} labels are void ({VOID}), which is "
                f"left out; write class indices, 0 to {last}"
            )
        if side == "training" and last and void and not sums[1:VOID].any():
            first = int(np.argmax(pixels[:, VOID] > 0))
            raise InputError(
                f"{name(first)}: holds 0 and {VOID} alone, as all {len(pixels)} training labels "
                f"do; {VOID} is void, and left out: write class indices, 0 to {last}, or say "
                f"--mask-values 0 {VOID} if the object is {VOID}"
            )
        if void > MOST_VOID:
            warnings.append(
                f"{void:.0%} of the pixels of the {side} labels are void ({VOID}), and left out"
            )
        absent = [name for n, name in enumerate(classes) if not sums[n]]
        if side == "training" and absent:
            tested = [name for n, name in enumerate(classes) if name in absent and test[:, n].any()]
            more = f" (the test labels have {some(tested)})" if tested else ""
            warnings.append(
                f"no training label has a pixel of {some(absent)}: not to be learnt{more}"
            )
        if side == "test" and last and not sums[1:VOID].any():
            warnings.append(
                f"no test label has a pixel of a class but {some(classes[:1])}: the results say "
                "nothing of the others"
            )
    if not last:
        warnings.append(
            f"there is one class alone, {some(classes)}: loss 0 and mean IU 100% mean nothing; "
            "name the background as class 0 and the object as class 1"
        )
    return warnings
