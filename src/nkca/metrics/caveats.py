"""Warnings about a score: unequal images, too few of them."""

from collections.abc import Mapping
from typing import Any

from nkca.config.image_size import describe
from nkca.metrics.collect import Subject
from nkca.metrics.extractors.contract import Description
from nkca.metrics.image_sets import depth_of, identity_of_part
from nkca.metrics.scores.names import score_names
from nkca.metrics.statistics import Statistics
from nkca.pixels import Pixels

TRAINED_ON = (
    "the reference is the training images: a model that copied them would score best; see the rows about "
    "copies, or compare with held-out images"
)


SAME_IMAGES = "the samples are the reference itself: distances of 0 or below mean nothing here"


def description(subject: Subject | None) -> Mapping[str, Any]:
    """What is known of the images, also of those that statistics were made of."""
    if not isinstance(subject, Statistics):
        return {} if subject is None else subject.about
    images = subject.images or {}
    return images.get("of", images) or {}


def identity(subject: Subject) -> object:
    """A value that is equal for two subjects with the same images, as far as is known."""
    if not isinstance(subject, Statistics):
        return subject.identity
    about = description(subject)
    whole, part = about.get("sha256"), about.get("part")
    return identity_of_part(whole, part) if whole and part else whole or id(subject)


def mismatch_warnings(subjects: Mapping[str, Subject], model_pixels: Pixels | None) -> list[str]:
    """Warnings about differences of the two sets that a score measures but should not.

    Args:
        model_pixels: those of the samples' model, if images are to be compared as it sees them.
    """
    about = [description(subjects.get(role)) for role in ("samples", "reference")]
    found = []
    if "reference" in subjects and identity(subjects["samples"]) == identity(subjects["reference"]):
        found.append(SAME_IMAGES)
    sizes = [entry.get("size") for entry in about]
    if all(sizes) and sizes[0] != sizes[1]:
        a, b = (describe(*size[::-1]) for size in sizes if size)
        found.append(
            f"samples have {a} pixels, the reference {b}: the score measures that difference too"
        )
    channels = [entry.get("channels") for entry in about]
    if all(channels) and channels[0] != channels[1]:
        found.append(
            f"samples have {channels[0]} channels, the reference {channels[1]}: where these hold colours "
            "or transparency, the score measures that difference too"
        )
    depths = {entry["depth"] for entry in about if entry.get("depth")}
    sees_fewer = model_pixels is not None and not model_pixels.is_lossless
    if sees_fewer and depths - {depth_of(model_pixels)}:
        found.append(
            "the statistics are of images of other levels than the model's: the score measures that "
            "difference too"
        )
    lossy = [entry.get("lossy", 0.0) for entry in about if entry]  # unknown for samples
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
    given = {role: roles[role] for role in ("samples", "reference") if role in roles}
    unsaid = [role for role, statistics in given.items() if statistics.extractor is None]
    if unsaid:
        one = len(unsaid) == 1
        said = "file of the {} does" if one else "files of the {} do"
        found.append(
            f"the statistics {said.format(' and the '.join(unsaid))} not say which extractor and resize "
            f"made {'it' if one else 'them'}: trust the scores only if they are the same"
        )
    if "reference" not in given:  # no distance
        return found
    names, dimensions = score_names(extractor), given["samples"].dimensions
    nouns = {"samples": "samples", "reference": "reference images"}
    few = [
        f"{statistics.count:,} {nouns[role]}"
        for role, statistics in given.items()
        if 1 < statistics.count < dimensions
    ]
    if few:
        found.append(
            f"{' and '.join(few)} are few for {dimensions:,} features: {names['fid']} is far too high, "
            f"compare it only with those of the same counts; {names['kid']} is not affected"
        )
    count = given["samples"].count
    if dimensions <= count < 5 * dimensions:
        found.append(
            f"{count:,} samples are fewer than 5 for each of {dimensions:,} features: {names['fid']} is "
            f"too high, and {names['fid_line']} only a rough estimate"
        )
    return found
