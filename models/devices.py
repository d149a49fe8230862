"""Which device computes in which precisions, and in which a model is whole. Pure, and without any framework.

Place in the flow: engines are opened by it, and recipes checked, on machines that have no engine too.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.records import Precision

AUTO = "auto"  # whoever opens an engine chooses
PRECISIONS_OF = {
    "openvino:CPU": (Precision.FP32, Precision.BF16, Precision.INT8),
    "torch:cpu": (Precision.FP32, Precision.BF16, Precision.FP16),
    "torch:cuda": (Precision.FP32, Precision.BF16, Precision.FP16),
}
"""What there can be; whether a machine has it, only opening an engine there tells."""


def fits(device: str, precision: Precision) -> bool:
    """Whether there can be such an engine; what is left open fits everything."""
    return device == AUTO or precision is Precision.UNKNOWN or precision in PRECISIONS_OF.get(device, ())


def whole(stated: Iterable[Precision], has_bank: bool) -> tuple[Precision, ...]:
    """Of the precisions that a model states a tolerance for, those in which it tells all that it knows: an int8 network
    knows no bank of good parts."""
    return tuple(precision for precision in stated if precision is not Precision.INT8 or not has_bank)


def chosen(precision: Precision, has_cuda: bool) -> str:
    """The device for AUTO: CUDA where there is one, else OpenVINO, which alone computes int8."""
    return "torch:cuda" if has_cuda and precision is not Precision.INT8 else "openvino:CPU"
