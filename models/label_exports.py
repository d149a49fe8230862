"""A data set for other tools: COCO and Label Studio. Pure. Where files go, its caller knows."""

from __future__ import annotations

from collections.abc import Container, Sequence, Set
from typing import Any

from models.dataset_rows import Box, Item
from models.labelled_set import LabelledSet, is_class


def to_coco(found: LabelledSet, split: str) -> dict[str, Any]:
    """One split in COCO's detection format; ids count from 1, and categories are the same in every split.

    A defect has the boxes in which the model found what a person called it, or all that people drew, else one box: the
    whole picture. Good pictures have no annotation.
    """
    names = (_classes(found) | _beside(found)) - {found.info.good}
    numbers = {name: number for number, name in enumerate(sorted(names), 1)}
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for item in (item for item in found.items if item.split == split):
        images.append(
            {
                "id": len(images) + 1,
                "file_name": item.file,
                "width": item.width,
                "height": item.height,
                "date_captured": at.isoformat() if (at := item.captured_at or item.inspected_at) else None,
                "label": item.label,
                "part_id": item.part_id,
            }
        )
        for box in _boxes(item, numbers) if item.label in numbers else ():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": numbers[box.label],
                    "bbox": [box.x, box.y, box.width, box.height],
                    "area": box.width * box.height,
                    "segmentation": [[side for corner in polygon for side in corner] for polygon in box.outlines],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name, "supercategory": "defect"} for name, number in numbers.items()]
    about = {"description": f"{found.info.name}, {split} split", "version": found.info.version}
    return {"info": about, "images": images, "annotations": annotations, "categories": categories}


def to_label_studio(found: LabelledSet) -> list[dict[str, Any]]:
    """Label Studio's tasks with people's labels and the model's predictions.

    Pictures come by its local storage: its document root is the data set's folder.
    """
    classes = _classes(found)
    return [
        {
            "data": _data(found, item.file)
            | {"part_id": item.part_id, "strategy": item.strategy, "why": item.why, "split": item.split},
            "annotations": [{"result": [_choice(item.label)], "was_cancelled": False}],
            "predictions": [_prediction(item, classes)] if item.predicted_label in classes else [],
        }
        for item in found.items
    ]


def to_second_look(found: LabelledSet) -> list[dict[str, Any]]:
    """Tasks of the pictures that people disagree about, without anybody's answer: the second look is blind."""
    return [{"data": _data(found, conflict.file) | {"part_id": conflict.part_id}} for conflict in found.conflicts]


def label_studio_config(found: LabelledSet) -> str:
    """The labelling interface that such tasks need. Class names are letters, digits, `.`, `_` and `-`."""
    names = sorted(_classes(found))
    choices = "".join(f'<Choice value="{name}"/>' for name in names)
    labels = "".join(f'<Label value="{name}"/>' for name in names if name != found.info.good)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<Choices name="label" toName="image">{choices}</Choices>'
        f'<RectangleLabels name="box" toName="image">{labels}</RectangleLabels></View>\n'
    )


def _classes(found: LabelledSet) -> set[str]:
    return {item.label for item in found.items} | {
        label for c in found.conflicts for label in c.labels if is_class(label)
    }


def _beside(found: LabelledSet) -> set[str]:
    """Labels that bad pictures have beside their own."""
    return {label for item in found.items if item.label != found.info.good for label in item.also}


def _boxes(item: Item, defects: Container[str]) -> Sequence[Box]:
    labels = [label for label in (item.label, *item.also) if label in defects]
    return [box for box in item.boxes if box.label in labels] or [Box(item.label, 1, 0, 0, item.width, item.height)]


def _data(found: LabelledSet, file: str) -> dict[str, str]:
    return {"image": f"/data/local-files/?d={file}", "dataset": found.info.version}


def _prediction(item: Item, classes: Set[str]) -> dict[str, Any]:
    result = [_choice(item.predicted_label)]
    for box in (box for box in item.boxes if box.label in classes):
        percent = {
            "x": 100 * box.x / item.width,
            "y": 100 * box.y / item.height,
            "width": 100 * box.width / item.width,
            "height": 100 * box.height / item.height,
        }
        size = {"original_width": item.width, "original_height": item.height}
        value = percent | {"rectanglelabels": [box.label]}
        result.append({"from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value} | size)
    return {"result": result, "score": item.score, "model_version": item.model_id}


def _choice(label: str | None) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
