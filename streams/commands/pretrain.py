"""`lineside train --pretrain`: weights to begin with, from a folder of pictures that nobody has labelled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models import training_state
from models.keeping import Keeping
from models.pretrain import check_pretraining, pretrain
from models.train import Progress, TrainSpec
from models.weights import write_tensors
from streams.commands.examples import unlabelled
from streams.commands.start import First, first_of
from streams.commands.train import TrainOptions, cache_of, changed, shown, state_beside
from streams.commands.ui import Ui, stoppable
from streams.settings import Settings
from streams.whole_file import write_whole

SPEC = TrainSpec(model_id="pretrained-resnet18")


async def pretrain_command(settings: Settings, folder: Path, options: TrainOptions) -> None:
    """Practise on all pictures of the folder, keep the weights, and say how to go on."""
    ui, spec = Ui(), changed(SPEC, options.changes)
    check_pretraining(spec)
    file = options.out or settings.data_dir / "models" / f"{spec.model_id}.safetensors"
    first = await first_of(options.start, spec.arch, cache_of(settings), ui) if options.start else First()
    pictures = await unlabelled(folder)
    state = state_beside(file)
    if options.fresh:
        training_state.forget(state)
    with ui.bars() as make:
        show = shown(ui, make)

        def work(go_on: Callable[[], None]) -> Mapping[str, Any]:
            def on_progress(progress: Progress) -> None:
                go_on()
                show(progress)

            return pretrain(pictures, spec, on_progress, keeping=Keeping(state), start=first.weights)

        weights = await stoppable(work)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda beside: write_tensors(beside, weights))
    training_state.forget(state)
    if options.as_json:
        print(json.dumps({"weights": str(file), "arch": spec.arch, "pictures": len(pictures)}, indent=2))
    else:
        ui.say(f"kept in {file}; begin with it: lineside train --arch {spec.arch} --practice 0 --start {file}")
