"""What can go wrong with models, by who must act. The base of all that `models` raises.

The text of each error is one clear sentence for a person. Knows nothing of streams: the caller translates.
"""


class ModelError(Exception):
    """The person who named a model or data set must change what they ask for."""


class ModelRefusedError(ModelError):
    """An artifact fails one of the checks made before it may judge parts; the text says which."""


class DatasetError(ModelError):
    """Pictures or labels that no model can be trained or measured on."""


class TrainingFailedError(ModelError):
    """Training ran into numbers that are no numbers; the text names the step."""


class BatchRefusedError(ModelError):
    """A batch an engine can't take: wrong shape or type, or more pictures than its largest bucket."""


class DeviceFatalError(Exception):
    """The device can't be trusted any more: no batch is to blame, and the process must end and start again."""
