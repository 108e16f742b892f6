"""Which images a run learns from, and how files become images of one size."""

from dataclasses import dataclass

from nkca.config.image_size import MAX_SIDE, is_possible
from nkca.config.option import option
from nkca.config.other_names import instead
from nkca.errors import require

FITS = ("crop", "pad", "commonest")


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are read."""

    dataset: str = option(
        "", "Folder, zip or tar of images; demo, demo-emoji and demo-pixels are in the package."
    )
    resize: int | tuple[int, int] | None = option(
        None, "Size of the images: N for N x N, or HxW (height x width); default: the files' own."
    )
    fit: str = option(
        "crop",
        "What has another shape is cut, or padded; or only the commonest size is used.",
        FITS,
    )
    channels: int | None = option(
        None, "1 (grey), 3 (colour) or 4 (with alpha).  [default: from the data]", (1, 3, 4)
    )
    background: str = option("white", "Colour behind transparent pixels (name or #rrggbb).")
    data_augmentation: tuple[str, ...] = option((), "Random changes: [fliph], [flipv] or both.")
    strict: bool = option(False, "Stop at unreadable images instead of skipping them.")
    cache: bool = option(True, "Keep decoded images on disk for the next run.")
    cache_dir: str | None = option(
        None, "Where decoded images are kept.  [default: NKCA_CACHE or the user's cache folder]"
    )
    data_workers: int | None = option(
        None, "Threads (for 5,000 images and more: processes) that decode.  [default: one per core]"
    )

    def __post_init__(self) -> None:
        possible = self.resize is None or is_possible(self.resize)
        require(possible, "resize", f"1 to {MAX_SIDE} pixels a side", self.resize)
        for name in self.data_augmentation:
            hint = instead(name, ("fliph", "flipv"))
            known = name in ("fliph", "flipv")
            require(known, "data_augmentation", "a list of fliph, flipv or both", name + hint)
        workers = self.data_workers
        require(workers is None or workers > 0, "data_workers", "positive", workers)
