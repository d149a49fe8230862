"""What models of solar cells are worth on the 656 held-out cells: alone, by symmetries, and together.

    .venv/bin/python infra/benchmarks/elpv_figures.py MODEL [MODEL ...] [--split test] [--json]

By the published protocol (Deitsch et al. 2019: 88.42 % for a CNN pretrained on ImageNet, 82.44 % for an SVM): defective
from a probability of 0.5 on, 1,968 to train and 656 to test. Accuracy is at a score of 0.5 and at each model's own
threshold, which validation chose. `symmetries`: the mean over the picture, its mirror image, upside down, and both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from models.artifact import Artifact, load_artifact
from models.dataset import Example, load
from models.engines import open_engine
from models.evaluate import any_defect, rate
from models.measures import ranking
from models.preprocess import EncodedImage
from schemas.records import Encoding
from streams.datasets.offers import elpv_offers


def scores(artifact: Artifact, pictures: np.ndarray) -> np.ndarray:
    """Probability of a defect, float32 [4, n], as they are and in their symmetries."""
    engine = open_engine(artifact)
    try:
        views = (pictures, pictures[:, :, ::-1], pictures[:, ::-1], pictures[:, ::-1, ::-1])
        found = [
            np.concatenate([engine.submit(view[at : at + 32]).result() for at in range(0, len(view), 32)])
            for view in views
        ]
        return np.stack([any_defect(each[:, : len(artifact.classes)], artifact.classes) for each in found])
    finally:
        engine.close()


def figures(score: np.ndarray, bad: np.ndarray, kinds: np.ndarray, threshold: float) -> dict[str, object]:
    """Accuracy at 0.5 and all rates at the threshold, of all cells and of each kind."""
    said: dict[str, object] = {"auroc": ranking(score.astype(np.float32), bad).auroc.value, "threshold": threshold}
    for name, limit in (("at_half", 0.5), ("at_threshold", threshold)):
        ng = score >= limit
        said[name] = {"all": _rates(ng, bad)} | {
            str(kind): _rates(ng[kinds == kind], bad[kinds == kind]) for kind in ("mono", "poly")
        }
    return said


def _rates(ng: np.ndarray, bad: np.ndarray) -> dict[str, object]:
    return {
        "accuracy": rate(int((ng == bad).sum()), len(bad)).to_json(),
        "escape": rate(int((bad & ~ng).sum()), int(bad.sum())).to_json(),
        "overkill": rate(int((~bad & ng).sum()), int((~bad).sum())).to_json(),
    }


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    offers = [offered for offered in elpv_offers() if offered.split == options.split]
    kinds = np.array([offered.sku for offered in offers])
    drawn = [
        Example(EncodedImage(offered.data, Encoding.PNG), str(offered.label), offered.name, options.split)
        for offered in offers
    ]
    artifacts = [load_artifact(directory) for directory in options.models]
    classes = [item.name for item in artifacts[0].classes]
    found, every, limits = {}, [], []
    for directory, artifact in zip(options.models, artifacts, strict=True):
        data = load(drawn, classes, artifact.preprocessing, lambda: None)
        bad, told, limit = data.labels != 0, scores(artifact, data.pictures), artifact.any_defect_threshold or 0.5
        found[directory.name] = figures(told[0], bad, kinds, limit)
        found[f"{directory.name}, symmetries"] = figures(told.mean(0), bad, kinds, limit)
        every.append(told)
        limits.append(limit)
    if len(artifacts) > 1:
        singles = np.array(
            [found[directory.name]["at_half"]["all"]["accuracy"]["value"] for directory in options.models]
        )
        found["together"] = figures(np.mean([t[0] for t in every], axis=0), bad, kinds, float(np.mean(limits)))
        found["together, symmetries"] = figures(np.mean(every, axis=(0, 1)), bad, kinds, float(np.mean(limits)))
        found["seeds"] = {"mean": float(singles.mean()), "deviation": float(singles.std(ddof=1)), "n": len(singles)}
    print(json.dumps(found, indent=2) if options.json else _table(found))


def _table(found: dict[str, dict]) -> str:
    lines = [f"{'':32}{'AUROC':>7}{'at 0.5':>9}{'mono':>8}{'poly':>8}{'at thr.':>9}{'escape':>8}{'overkill':>9}"]
    for name, row in found.items():
        if name == "seeds":
            lines.append(f"accuracy at 0.5 of {row['n']} seeds: {row['mean']:.2%} ± {row['deviation']:.2%}")
            continue
        half, own = row["at_half"], row["at_threshold"]["all"]
        cells = [half[kind]["accuracy"]["value"] for kind in ("all", "mono", "poly")]
        cells += [own[key]["value"] for key in ("accuracy", "escape", "overkill")]
        lines.append(f"{name:32}{row['auroc']:7.3f}" + "".join(f"{cell:9.2%}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
