"""All scores that can be computed from given statistics."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from nkca.errors import InputError
from nkca.metrics.collect import OnProgress, T
from nkca.metrics.extractors.contract import Array
from nkca.metrics.scores.frechet import FrechetLine, frechet_distance, frechet_line
from nkca.metrics.scores.inception_score import InceptionScore, inception_score
from nkca.metrics.scores.kernel_distance import KernelDistance, cmmd, kernel_distance
from nkca.metrics.scores.manifold import Manifold, manifold
from nkca.metrics.scores.memorisation import Memorisation, memorisation
from nkca.metrics.scores.names import is_clip
from nkca.metrics.statistics import Statistics

_MAX_VALUE = 1e20  # bound of |feature|: the deviation of KID takes its 12th power


@dataclass(frozen=True)
class Scores:
    """All scores of one measurement.

    Args:
        cmmd: with the features of CLIP alone.
        missing: the name of each score that is None, and why.
        warnings: what a reader must know before trusting the scores; `nkca.measure` and nkca-metrics
            find them, `score` does not.
    """

    fid: float | None = None
    fid_line: FrechetLine | None = None
    kid: KernelDistance | None = None
    cmmd: float | None = None
    inception_score: InceptionScore | None = None
    manifold: Manifold | None = None
    memorisation: Memorisation | None = None
    missing: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def score(
    samples: Statistics,
    reference: Statistics | None = None,
    train: Statistics | None = None,
    held_out: Statistics | None = None,
    progress: OnProgress = lambda _done, _total: None,
) -> Scores:
    """Compute all scores that these statistics allow.

    Args:
        reference: real images; None: no score that compares.
        train: the training images, which samples may copy.
        held_out: images that the model was not trained on.
        progress: called with (scores done, total); with many images the last two take minutes.

    Raises:
        InputError: if features of different extractors, or dimensions, are to be compared.
    """
    for other in (reference, train, held_out):
        if other is not None:
            check_comparable(samples, other)
    missing: dict[str, str] = {}
    has_cmmd = is_clip(samples.extractor)
    others = ("missing", "warnings", *(() if has_cmmd else ("cmmd",)))
    names = [f.name for f in fields(Scores) if f.name not in others]

    def attempt(name: str, work: Callable[[], T]) -> T | None:
        progress(names.index(name), len(names))
        try:
            return work()
        except InputError as error:
            missing[name] = str(error)
            return None

    return Scores(
        fid=attempt("fid", lambda: _fid(samples, _required(reference))),
        fid_line=attempt(
            "fid_line", lambda: frechet_line(_features(samples), _required(reference).gaussian())
        ),
        kid=attempt(
            "kid", lambda: kernel_distance(_features(samples), _features(_required(reference)))
        ),
        cmmd=attempt("cmmd", lambda: cmmd(_features(samples), _features(_required(reference))))
        if has_cmmd
        else None,
        inception_score=attempt("inception_score", lambda: inception_score(_logits(samples))),
        manifold=attempt(
            "manifold", lambda: manifold(_features(samples), _features(_required(reference)))
        ),
        memorisation=attempt("memorisation", lambda: _memorisation(samples, train, held_out)),
        missing=missing,
    )


def check_comparable(a: Statistics, b: Statistics) -> None:
    """Raise `InputError` if two statistics come from different extractors."""
    if a.extractor is not None and b.extractor is not None and a.extractor != b.extractor:
        raise InputError(
            f"features of {a.extractor.name} (weights {a.extractor.weights_sha256[:8] or 'none'}) and "
            f"of {b.extractor.name} ({b.extractor.weights_sha256[:8] or 'none'}) cannot be compared"
        )
    if a.dimensions != b.dimensions:
        raise InputError(
            f"features of {a.dimensions} and of {b.dimensions} dimensions cannot be compared"
        )


def _fid(samples: Statistics, reference: Statistics) -> float:
    return frechet_distance(samples.gaussian(), reference.gaussian())


def _memorisation(
    samples: Statistics, train: Statistics | None, held_out: Statistics | None
) -> Memorisation:
    if train is None:
        raise InputError("no training images were given")
    return memorisation(
        _features(samples), _features(train), None if held_out is None else _features(held_out)
    )


def _required(reference: Statistics | None) -> Statistics:
    if reference is None:
        raise InputError("no reference was given")
    return reference


def _features(statistics: Statistics) -> Array:
    if statistics.features is None:
        raise InputError("the statistics file holds a mean and a covariance, no features")
    _check_finite(statistics.features, "features")
    return statistics.features


def _logits(statistics: Statistics) -> Array:
    if statistics.logits is None:
        raise InputError("these features come without class probabilities")
    _check_finite(statistics.logits, "logits")
    return statistics.logits


def _check_finite(values: Array, name: str) -> None:
    """Raise `InputError` if a value is not finite, or so large that scores would not be."""
    if not (values.min() > -_MAX_VALUE and values.max() < _MAX_VALUE):
        raise InputError(f"the extractor gave {name} that are not finite numbers, or too large")
