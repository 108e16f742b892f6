"""How often a run saves, shows and evaluates itself."""

from dataclasses import dataclass

from nkca.config.every import Every
from nkca.config.option import option
from nkca.errors import require


@dataclass(frozen=True)
class CadenceConfig:
    """How often a run saves and shows itself: in steps, images or time; 0 turns it off."""

    checkpoint_freq: Every = option(
        Every(1000),
        "Steps, images or time between checkpoints; in steps or images at most 10 minutes.",
    )
    viz_freq: Every = option(
        Every(1000), "Steps between preview pictures; or 100kimg (images seen), 5m (time); 0: none."
    )
    eval_freq: Every = option(
        Every(0), "Steps, images or time between evaluations of the average; 0: none."
    )
    eval_samples: int = option(256, "Samples of one evaluation; fewer where --eval-time is short.")
    eval_sampling_steps: int | None = option(
        None, "Transitions on the way to each.  [default: --num-sampling-steps]"
    )
    eval_time: float | None = option(120.0, "Longest time of one evaluation: 90 (seconds), 5m.")
    eval_dataset: str = option(
        "", "Images to compare with, at most 2,048.  [default: the training images]"
    )
    eval_features: str = option(
        "auto", "Extractor, see nkca-metrics; auto: inception, efficientnet-lite0 or pixels."
    )
    keep: int = option(0, "Numbered checkpoints to keep beside the latest, final and best.")

    def __post_init__(self) -> None:
        require(bool(self.checkpoint_freq), "checkpoint_freq", "positive", self.checkpoint_freq)
        for name in ("eval_sampling_steps", "keep"):
            value = getattr(self, name)
            require(value is None or value >= 0, name, "at least 0", value)
        require(self.eval_samples > 1, "eval_samples", "at least 2", self.eval_samples)
        seconds = self.eval_time
        require(seconds is None or seconds > 0, "eval_time", "positive", seconds)
