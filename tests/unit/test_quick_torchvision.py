"""torchvision loads without torch's compiler, and what needs the compiler still finds it."""

import subprocess
import sys

ASKED_LATER = """
import sys
{first}
import models.resnet, models.engines, models.engines.torch_engine
print("torch._dynamo" in sys.modules)

import torch
from torchvision.ops import roi_align
assert models.resnet.build_network("resnet18", 2).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
picture = torch.arange(64.0).view(1, 1, 8, 8)
boxes = torch.tensor([[0, 0.0, 0.0, 7.0, 7.0]])
expected = torch.ops.torchvision.roi_align(picture, boxes, 1.0, 2, 2, -1, False)
assert torch.equal(roi_align(picture, boxes, 2), expected)

import torch._dynamo
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
"""


def _said(first: str) -> list[str]:
    code = ASKED_LATER.format(first=first)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_network_is_built_without_the_compiler_which_comes_when_asked_for() -> None:
    assert _said("") == ["False", "2.0"]


def test_a_compiler_that_is_there_already_stays() -> None:
    assert _said("import torch._dynamo") == ["True", "2.0"]


def test_a_torchvision_that_asks_more_than_the_stand_in_knows_gets_the_real_compiler() -> None:
    changed = (
        "import importlib.util\n"
        "source = importlib.util.find_spec('models.quick_torchvision').loader.get_source('models.quick_torchvision')\n"
        "assert source.count('[\"is_compile_supported\"]') == 1\n"
        "exec(source.replace('[\"is_compile_supported\"]', '[\"something else\"]'), {})"
    )
    assert _said(changed) == ["True", "2.0"]
