"""torchvision without torch's compiler: half the time of a worker's start, 100 MB less.

`torchvision.ops.roi_align` imports `torch._dynamo` for one question that a ResNet never asks. Measured on two cores:
importing torch and torchvision took 4.5 s of CPU and 857 MB, without the compiler 2.3 s and 758 MB. While torchvision
loads, a stand-in answers in the compiler's place and hands the question on to the real one once it is asked; afterwards
the compiler can be imported as ever. Everything here imports `torchvision` from this module. Knows no networks.
"""

import importlib
import sys
from types import ModuleType

import torch  # noqa: F401  # whole before the stand-in comes

COMPILER = "torch._dynamo"


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device_type))


def _loaded() -> ModuleType:
    """torchvision; where it asks more of the compiler than the stand-in knows, with the real one."""
    if COMPILER in sys.modules:
        return importlib.import_module("torchvision")
    stand_ins = {COMPILER: ModuleType(COMPILER), f"{COMPILER}.utils": ModuleType(f"{COMPILER}.utils")}
    vars(stand_ins[f"{COMPILER}.utils"])["is_compile_supported"] = _is_compile_supported
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("torchvision")
    except ImportError:
        pass
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return importlib.import_module("torchvision")


torchvision = _loaded()
