"""The same folders, the same weights, other programs: torch-fidelity and pytorch-fid.

The weights are random but fixed, in the layout of the standard file. What was measured with them:

    torch-fidelity                          all scores equal, to 2e-6
    pytorch-fid, files of 299x299           FID 0.2 % lower; scaled as here, equal to 1e-7
    pytorch-fid, files of 32x32             FID 0.2 % lower
    pytorch-fid for one of the two sets     FID 1 % lower, and 0.5 for the same files

pytorch-fid scales bytes to byte / 127.5 - 1; TensorFlow's FID, torch-fidelity and we (byte - 128) / 128.
It resizes with half-pixel centres; TensorFlow 1, torch-fidelity and we without, so that its pictures lie
up to half a pixel of the file elsewhere. That moves features by 1 %, in both sets alike, and little of
it is left in FID; where the two sets are not treated alike, all of it is.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from toys import save_pictures

from nkca.cli.metrics import main
from nkca.config.data import DataConfig
from nkca.metrics.collect import CollectOptions, collect
from nkca.metrics.extractors import timm_models
from nkca.metrics.extractors.by_name import open_extractor
from nkca.metrics.extractors.contract import Extractor
from nkca.metrics.image_sets import ArrayImages
from nkca.metrics.measure import make_report
from nkca.metrics.measurement import open_measurement
from nkca.metrics.report import Report
from nkca.metrics.request import MeasureRequest
from nkca.metrics.scores.frechet import frechet_distance
from nkca.metrics.scores.moments import Moments
from nkca.metrics.scores.score import score
from nkca.metrics.statistics import load_statistics

CPU = torch.device("cpu")
SAMPLES, REFERENCE, LARGE = 22, 31, 6  # 22: parts of the Inception Score are not equal in size
Scored = dict[str, Any]
Measure = Callable[..., Scored]

# FID, a squared distance, would differ by as much if features were proportional to the input.
SCALE = (128 / 127.5) ** 2 - 1

# Of pytorch-fid: SciPy's square root of a matrix says so.
disp = pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")


def pictures(count: int, side: int, seed: int, *, narrow: bool) -> Tensor:
    """A colour each, and noise on it, coarse or fine: uint8 (count, 3, side, side).

    Narrow ones are lighter and flatter, and some of them finer than any wide one.
    """
    generator = torch.Generator().manual_seed(seed)
    dark, sizes, most = (0.6, (2, 3, 32), 0.7) if narrow else (0.0, (2, 4, 8, 16), 1.0)
    made = []
    for _ in range(count):
        colour = dark + (1 - dark) * torch.rand(3, 1, 1, generator=generator)
        size = sizes[int(torch.randint(len(sizes), (), generator=generator))]
        noise = torch.rand(1, 3, size, size, generator=generator)
        smooth = nn.functional.interpolate(noise, (side, side), mode="bilinear")[0]
        share = 0.2 + (most - 0.2) * torch.rand((), generator=generator)
        made.append((255 * torch.lerp(colour.expand_as(smooth), smooth, share)).to(torch.uint8))
    return torch.stack(made)


SETS = {
    "samples": pictures(SAMPLES, 32, 2, narrow=True),
    "reference": pictures(REFERENCE, 32, 1, narrow=False),
    "large_samples": pictures(LARGE, 299, 2, narrow=True),
    "large_reference": pictures(LARGE, 299, 1, narrow=False),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each of `SETS`; what is measured goes beside them."""
    place = tmp_path_factory.mktemp("agreement")
    for name, images in SETS.items():
        save_pictures(place / name, images.permute(0, 2, 3, 1).numpy())
    return place


def run(place: Path, *arguments: str) -> Scored:
    """What nkca-metrics writes into metrics.json; its cache and results are in ``place``."""
    out = Path(tempfile.mkdtemp(prefix="metrics-", dir=place))
    places = [f"--save-dir={out}", f"--cache-dir={place / 'cache'}"]
    command = [*arguments, *places, "--device=cpu", "-q"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    content: Scored = json.loads((out / "metrics.json").read_text("utf-8"))["scores"]
    return content


# With Inception, random weights


@pytest.fixture(scope="module")
def weights(place: Path) -> Path:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    from inception_weights import write_inception_weights

    return write_inception_weights(place / "inception.pth")


@pytest.fixture(scope="module")
def measure(place: Path, weights: Path) -> Measure:
    """Run nkca-metrics on two of the folders, or .npz, in `place`."""

    def measured(samples: str, reference: str, *options: str) -> Scored:
        names = [str(place / samples), str(place / reference)]
        if not (samples.endswith(".npz") and reference.endswith(".npz")):
            options += ("--features=inception", f"--inception-weights={weights}")
        return run(place, *names, *options)

    return measured


@pytest.fixture(scope="module")
def fidelity(place: Path, weights: Path) -> Measure:
    """Run torch-fidelity on two of the folders in `place`."""
    library = pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")

    def measured(samples: str, reference: str, fid: bool) -> Scored:
        scores: Scored = library.calculate_metrics(
            input1=str(place / samples),
            input2=str(place / reference),
            **dict.fromkeys(("isc", "kid", "prc"), True),
            fid=fid,
            feature_extractor="inception-v3-compat",  # else precision and recall are of VGG
            feature_extractor_weights_path=str(weights),
            kid_subset_size=min(SAMPLES, REFERENCE),  # its 1000 needs as many images
            cuda=False,
            save_cpu_ram=True,  # no processes
            verbose=False,
            cache_root=str(place / "fidelity_cache"),
            input1_cache_name=samples,
            input2_cache_name=reference,
        )
        return scores

    return measured


@pytest.fixture(scope="module")
def pytorch_fid(place: Path, weights: Path) -> Callable[[str], str]:
    """Let pytorch-fid write the statistics of a folder in `place`; returns the name of the file."""
    module = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed")

    def saved(name: str) -> str:
        if not (place / f"{name}_theirs.npz").exists():
            paths = [str(place / name), str(place / f"{name}_theirs.npz")]
            with their_weights(weights):
                module.save_fid_stats(paths, 8, "cpu", 2048, num_workers=0)
        return f"{name}_theirs.npz"

    return saved


@contextmanager
def their_weights(path: Path) -> Iterator[None]:
    """pytorch-fid takes these weights for those that it would download."""
    state = torch.load(path, weights_only=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: state)
        yield


def by_their_names(scores: Scored) -> dict[str, float]:
    """Ours, named as by torch-fidelity."""
    return {
        "inception_score_mean": scores["inception_score"]["mean"],
        "inception_score_std": scores["inception_score"]["deviation"],
        "frechet_inception_distance": scores["fid"],
        "kernel_inception_distance_mean": scores["kid"]["mean"],
        "kernel_inception_distance_std": scores["kid"]["deviation"],
        "precision": scores["precision"],
        "recall": scores["recall"],
    }


def relative(found: float, expected: float) -> float:
    return abs(found / expected - 1)


@pytest.mark.slow
def test_torch_fidelity_gives_the_same_scores(
    measure: Measure, fidelity: Measure, place: Path
) -> None:
    ours = by_their_names(measure("samples", "reference", f"--save-stats={place}/ours.npz"))
    theirs = fidelity("samples", "reference", fid=True)
    for name, value in ours.items():
        assert relative(value, theirs[name]) < 1e-4, name
    kept = load_statistics(place / "ours.npz")  # of the reference
    cache = place / "fidelity_cache"
    for layer, found in (("2048", kept.features), ("logits_unbiased", kept.logits)):
        assert found is not None
        (path,) = cache.glob(f"reference-*-features-{layer}.pt")
        expected = torch.load(path, weights_only=True).numpy()
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()

    # Scores as far from those of equal as from those of unrelated sets, and another order is another:
    assert theirs["frechet_inception_distance"] > 100
    assert theirs["kernel_inception_distance_mean"] > 1
    assert 0.3 < theirs["recall"] < theirs["precision"] - 0.1 < 0.9
    swapped = by_their_names(measure("reference", "samples"))
    other = fidelity("reference", "samples", fid=False)
    for name, value in other.items():
        if name in swapped:
            assert relative(swapped[name], value) < 1e-4, name
    assert swapped["precision"] == ours["recall"]
    assert swapped["recall"] == ours["precision"]
    assert relative(swapped["inception_score_mean"], ours["inception_score_mean"]) > 0.1


@pytest.mark.slow
def test_pytorch_fid_of_files_that_need_no_resize(
    measure: Measure, pytorch_fid: Callable[[str], str], weights: Path
) -> None:
    """Their scale of bytes is all that differs: 2 x - 1 instead of (byte - 128) / 128."""
    ours = measure("large_samples", "large_reference")["fid"]
    theirs = measure(pytorch_fid("large_samples"), pytorch_fid("large_reference"))["fid"]
    assert 1e-4 < relative(theirs, ours) < SCALE
    module = pytest.importorskip("pytorch_fid.inception", reason="pytorch-fid is not installed")
    with their_weights(weights):
        network = module.InceptionV3([3], normalize_input=False).eval()
    with torch.no_grad():
        samples, reference = (
            network((SETS[name].float() - 128) / 128)[0].flatten(1)
            for name in ("large_samples", "large_reference")
        )
    same = frechet_distance(Moments.of(samples).gaussian(), Moments.of(reference).gaussian())
    assert relative(same, ours) < 1e-5


@pytest.mark.slow
def test_pytorch_fid_of_small_files_is_also_resized_otherwise(
    measure: Measure, pytorch_fid: Callable[[str], str]
) -> None:
    """FID hardly sees it where both sets are moved alike, and sees it where only one is."""
    ours = measure("samples", "reference")["fid"]
    theirs = measure(pytorch_fid("samples"), pytorch_fid("reference"))["fid"]
    assert 1e-4 < relative(theirs, ours) < SCALE
    mixed = measure("samples", pytorch_fid("reference"))["fid"]
    same = measure("reference", pytorch_fid("reference"))["fid"]
    assert 2 * relative(theirs, ours) < relative(mixed, ours) < 0.05
    assert 0.1 < same < 0.01 * ours


@pytest.mark.slow
@disp
def test_statistics_of_either_are_read_by_the_other(
    measure: Measure, pytorch_fid: Callable[[str], str], place: Path, weights: Path
) -> None:
    module = pytest.importorskip("pytorch_fid.fid_score", reason="pytorch-fid is not installed")
    theirs = pytorch_fid("samples")
    ours = place / "reference_ours.npz"
    measure("samples", "reference", f"--save-stats={ours}")
    with their_weights(weights):
        expected = module.calculate_fid_given_paths(
            [str(place / theirs), str(ours)], 8, "cpu", 2048, num_workers=0
        )
    found = measure(theirs, ours.name)["fid"]
    assert relative(found, expected) < 1e-4  # the square root of a singular product is not exact
    assert relative(found, measure("samples", "reference")["fid"]) > 1e-3  # these are other sets


# How it is computed decides no score: a real network, real weights


@pytest.fixture(scope="module")
def real() -> Extractor:
    package, reason = timm_models.LITE0_PACKAGE, "the package of its weights is not installed"
    pytest.importorskip(package, reason=reason)
    return open_extractor(timm_models.LITE0, CPU)


@pytest.fixture(scope="module")
def scored(real: Extractor, place: Path) -> Scored:
    """Of whole sets, in batches of 64, kept in ``place``."""
    assert real.description.name == timm_models.LITE0
    return run(place, *sets(place), "--batch-size=64")


def sets(place: Path) -> tuple[str, ...]:
    samples, reference = place / "samples", place / "reference"
    features = f"--features={timm_models.LITE0}"
    return str(samples), str(reference), f"--train={reference}", features


def numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """All numbers in JSON and where they stand, but for the list of pairs."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key != "closest":
                yield from numbers(part, f"{name}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from numbers(part, f"{name}.{index}")
    elif isinstance(value, int | float):
        yield name, float(value)


def plain(report: Report) -> Scored:
    """As they are in metrics.json."""
    scores: Scored = json.loads(json.dumps(report.as_dict()))["scores"]
    return scores


def assert_alike(found: Scored, expected: Scored) -> None:
    """To 1e-6: a convolution of another batch adds in another order, which moves features by 2e-6.

    KID is a difference of what is ten times as large, and FID∞ an extrapolation: there to 1e-5.
    """
    a, b = dict(numbers(found)), dict(numbers(expected))
    assert a.keys() == b.keys()
    assert {".fid", ".inception_score.mean", ".precision", ".memorisation.data_copying"} <= a.keys()
    for name, value in a.items():
        tolerance = 1e-5 if name.startswith((".kid", ".fid_infinity")) else 1e-6
        assert value == pytest.approx(b[name], rel=tolerance, abs=1e-12), name


def test_batches_and_the_cache(scored: Scored, place: Path) -> None:
    assert run(place, *sets(place), "--batch-size=64") == scored, "from the cache"
    assert_alike(run(place, *sets(place), "--batch-size=7", "--no-cache"), scored)


def test_workers(scored: Scored, real: Extractor, place: Path) -> None:
    """All pixels are the same: nothing is computed again."""
    seen: list[str] = []
    for workers in (1, 3):
        data = DataConfig(data_workers=workers, cache=False)
        names = (str(place / "samples"), str(place / "reference"))
        opened = open_measurement(MeasureRequest(*names, train=names[1], data=data))
        options = CollectOptions(CPU, place / "cache", 64)
        report, _ = make_report(opened, real, options, lambda what, *_: seen.append(what))
        assert set(seen) == {"scores"}, "no features"
        assert plain(report) == scored


def test_control_other_pictures_have_other_scores(
    scored: Scored, real: Extractor, place: Path
) -> None:
    """One pixel of one picture shows."""
    images = SETS["samples"].clone()
    images[5, :, 16, 16] ^= 255
    options = CollectOptions(CPU, place / "cache", 64)
    samples = collect(ArrayImages(images), real, options)
    reference = collect(ArrayImages(SETS["reference"]), real, options)
    assert relative(score(samples, reference).fid or 0, scored["fid"]) > 1e-6
