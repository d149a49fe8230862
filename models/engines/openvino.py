"""OpenVINO on the CPU: one compiled network for each bucket, batches under way side by side.

Knows nothing of artifacts' files, events or frames. Nothing is sent anywhere: telemetry is switched off before OpenVINO's
converter is imported.
"""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from models.artifact import Artifact
from models.engines.buckets import bucket_for, checked, padded
from models.errors import ModelRefusedError
from models.resnet import Classifier, build_network
from schemas.records import Precision

os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")

import openvino as ov  # noqa: E402
