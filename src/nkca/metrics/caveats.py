"""Warnings about a score: unequal images, too few of them."""

from collections.abc import Mapping

from nkca.config.image_size import describe
from nkca.metrics.collect import Subject
from nkca.metrics.extractors.contract import Description
from nkca.metrics.statistics import Statistics

TRAINED_ON = (
    "the reference is the training images: a model that copied them would score best; see the rows on "
    "memorisation, or compare with held-out images"
)


SAME_IMAGES = (
    "the samples are the reference itself: FID is 0, KID and FID∞ are below 0, all without meaning"
)


def identity(subject: Subject) -> object:
    """A value that is equal for two subjects with the same images, as far as is known."""
    return id(subject) if isinstance(subject, Statistics) else subject.identity


def mismatch_warnings(subjects: Mapping[str, Subject]) -> list[str]:
    """Warnings about differences of the two sets that a score measures but should not."""
    about = [getattr(subjects.get(role), "about", {}) for role in ("samples", "reference")]
    found = []
    if "reference" in subjects and identity(subjects["samples"]) == identity(subjects["reference"]):
        found.append(SAME_IMAGES)
    sizes = [entry.get("size") for entry in about]
    if all(sizes) and sizes[0] != sizes[1]:
        a, b = (describe(*size[::-1]) for size in sizes if size)
        found.append(
            f"samples have {a} pixels, the reference {b}: the score measures that difference too"
        )
    lossy = [entry.get("lossy", 0.0) for entry in about if entry]  # unknown for statistics
    if len(lossy) == 2 and abs(lossy[0] - lossy[1]) > 0.05:
        a, b = (f"{share:.0%}" for share in lossy)
        found.append(
            f"{a} of the samples and {b} of the reference are lossy files (JPEG, WebP): extractors "
            "detect the traces of compression"
        )
    unreadable = [entry.get("unreadable", 0) for entry in about]
    found += [
        f"{count} unreadable files are left out of the {role}"
        for role, count in zip(("samples", "reference"), unreadable, strict=True)
        if count
    ]
    return found


def sample_size_warnings(roles: Mapping[str, Statistics], extractor: Description) -> list[str]:
    """Warnings about too few images for the number of features, and about the extractor."""
    found = [extractor.note] if extractor.note else []
    for role, noun in (("samples", "samples"), ("reference", "reference images")):
        statistics = roles.get(role)
        if statistics is None:
            continue
        if statistics.extractor is None:
            found.append(
                f"the {role}'s statistics file does not say which extractor and resize made it: "
                "trust the score only if they are the same"
            )
        count, dimensions = statistics.count, statistics.dimensions
        if 1 < count < dimensions and "reference" in roles:  # else there is no FID
            found.append(
                f"{count:,} {noun} for {dimensions:,} feature dimensions: FID is far too high, compare "
                "it only with FIDs of the same counts; KID is not affected"
            )
        if role == "samples" and dimensions <= count < 5 * dimensions:
            found.append(
                f"{count:,} samples are fewer than 5 for each of {dimensions:,} feature dimensions: "
                "FID is too high, and FID∞ only a rough estimate"
            )
    return found
