"""What is to be measured, as the user named it."""

from dataclasses import dataclass, field

from nkca.config.schema import DataConfig
from nkca.metrics.collect import Subject
from nkca.metrics.image_sets import SampleOptions

DEMO_SAMPLES = 64  # of the model in the package, for a first look


@dataclass(frozen=True)
class MeasureRequest:
    """What is measured, as the user named it.

    Args:
        samples, reference, train, held_out: a checkpoint or its run's directory, a folder, zip or tar
            of images, or an .npz of statistics. ``demo:model`` is the model in the package,
            ``demo:images`` the images there. Or what is open already: images, or statistics.
        num_samples: None is as many as the reference has, of ``demo:model`` at most `DEMO_SAMPLES`; of
            files the first ones.
        lag: None is the run's.
        data: how image files are read; ``dataset`` is ignored.
        compile: see `nkca.models.build.load_model`.
        full_depth: compare with the files' own levels, though a categorical model sees fewer.
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
    full_depth: bool = False
