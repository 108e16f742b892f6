"""A request to measure something, as the user named it."""

from dataclasses import dataclass, field

from nkca.config.data import DataConfig
from nkca.metrics.collect import Subject
from nkca.metrics.image_sets import SampleOptions

DEMO_SAMPLES = 64  # default for the model in the package: a first look


@dataclass(frozen=True)
class MeasureRequest:
    """What to measure, as the user named it, and how.

    Args:
        samples, reference, train, held_out: a checkpoint or its run's directory, a folder, zip or tar
            of images, or an .npz of statistics. ``demo:model`` is the model in the package,
            ``demo:images`` the images there. Or an image set or statistics that are already open.
        num_samples: None is as many as the reference has, for ``demo:model`` at most `DEMO_SAMPLES`; of
            image files the first ones are used.
        lag: None is the run's.
        data: how image files are read; ``dataset`` is ignored.
        compile: see `nkca.models.build.load_model`.
        others: more sets of images, to be told from the reference.
        full_depth: do not round image files to the levels of a categorical model.
    """

    samples: str | Subject
    reference: str | Subject | None = None
    train: str | Subject | None = None
    held_out: str | Subject | None = None
    num_samples: int | None = None
    sampling: SampleOptions = field(default_factory=SampleOptions)
    lag: float | None = None
    device: str = "auto"
    compile: str = "off"
    data: DataConfig = field(default_factory=DataConfig)
    others: tuple[str, ...] = ()
    full_depth: bool = False
