"""How a run begins: options, the checkpoint in its directory, images -> a `Run`."""

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nkca.config.data import DataConfig
from nkca.config.image_size import Accepted, as_option, describe
from nkca.config.parsing import configure, field_name
from nkca.config.recipes import RECOMMENDED, with_recipe
from nkca.config.schema import RunConfig
from nkca.data.cache import DecodedImages
from nkca.data.dataset import describe_left_out, load_dataset
from nkca.data.decode import Reader
from nkca.denoisers.precision import needs_loss_scale
from nkca.distributed.ranks import ALONE, Ranks
from nkca.errors import InputError, out_of_memory_advice
from nkca.models import build
from nkca.models.checkpoint import BEST, FINAL, LATEST, Checkpoint, load_checkpoint
from nkca.models.exported import is_exported
from nkca.models.model import Model
from nkca.networks import compilation
from nkca.runs.categories import unless_settled, with_categories
from nkca.runs.directory import log_file, write_config
from nkca.runs.memory_fit import StepPlan, advice_on_memory, check_weights, fit_step
from nkca.runs.network_size import smaller_network, with_network_size
from nkca.runs.run import Run
from nkca.runs.scorer import prepare_scorer
from nkca.system.device import choose_device
from nkca.system.files import check_possible_directory, locked
from nkca.system.memory import as_text
from nkca.training.build import Method, build_learner, method_of
from nkca.training.coarse_to_fine import poolings
from nkca.training.learner import Learner, TrainingProgress

logger = logging.getLogger("nkca")


def newest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint in ``directory`` that is furthest on, or None.

    By name, as copies lose times: the latest is saved before the final one and with every numbered
    one, so it is never behind; without it the final, the highest number, the best.
    """
    numbered = sorted(directory.glob("checkpoint_[0-9]*.pth"), reverse=True)
    candidates = [directory / LATEST, directory / FINAL, *numbered, directory / BEST]
    return next((path for path in candidates if path.is_file()), None)


def resolve(
    options: Mapping[str, Any], directory: Path
) -> tuple[RunConfig, Checkpoint | None, dict[str, str]]:
    """Defaults < the run's own config, if it has begun < ``options``.

    Returns:
        The config, the checkpoint to resume from, and what changes: option -> "old -> new".

    Raises:
        InputError: if an option is wrong, or would change the model of a run that has begun.
    """
    if is_exported(directory):
        raise InputError(
            f"{directory} holds an exported model, whose run cannot be resumed: it is for sampling; use "
            "another directory"
        )
    path = newest_checkpoint(directory)
    if path is None:
        return configure(with_recipe(options)), None, {}
    checkpoint = load_checkpoint(path)
    if checkpoint.optimizer is None:
        raise InputError(
            f"{path} has no optimizer state, so its run cannot be resumed: it is for sampling; "
            "use another directory"
        )
    before = configure(checkpoint.config, str(path))
    given = unless_settled({field_name(key): value for key, value in options.items()}, before.model)
    config = configure({**before.to_flat(), **given})
    old, new = before.to_flat(), config.to_flat()
    changes = {name: f"{old[name]} -> {new[name]}" for name in new if old[name] != new[name]}
    settled = [*asdict(config.model), "recipe", "optimizer"]
    fixed = [f"{name} ({changes[name]})" for name in settled if name in changes]
    if fixed:
        raise InputError(
            f"{directory} holds a run of another model: {', '.join(fixed)}; use another directory, "
            "or leave these options as they were"
        )
    return config, checkpoint, changes


def check_data_shape(checkpoint: Checkpoint, shape: tuple[int, int, int], directory: Path) -> None:
    """Raise `InputError` if the images are not of the run's shape (C, H, W)."""
    if checkpoint.data_shape != shape:
        channels, *size = checkpoint.data_shape
        raise InputError(
            f"{directory} holds a run on {describe(*size)} images of {channels} channels, these are "
            f"{describe(*shape[1:])} of {shape[0]}: use {as_option(*size)} channels={channels} or another "
            "directory"
        )


@dataclass(frozen=True)
class Prepared:
    """A run that nothing has been written for yet, and what its log begins with."""

    run: Run
    messages: tuple[str, ...]
    step: StepPlan


def prepare(
    options: Mapping[str, Any] | RunConfig,
    directory: Path,
    on_decode: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
    method: Method | None = None,
) -> Prepared:
    """Read the images and build, or load, the model of a run in ``directory``; write nothing there.

    Args:
        options: a config, or flat as `configure` takes them; what a mapping leaves open, in a run that
            has begun, is the run's own.
        on_decode: called with (done, total) while images are decoded.
        ranks: who prepare and train it together; each calls this.
        method: what is minimized, at which levels; None: what the options say.

    Raises:
        InputError: if options, images or the checkpoint there do not fit.
    """
    if isinstance(options, RunConfig):
        options = options.to_flat()
    check_possible_directory(directory)
    config, checkpoint, changes = resolve(options, directory)
    _check_batch(config.training.batch_size, ranks.count)
    accepted = _accepted_sizes(config, checkpoint, options)

    def load(data: DataConfig, reader: Reader) -> DecodedImages:
        return ranks.first_then_others(lambda: load_dataset(data, on_decode, accepted, reader))

    config, images, found = with_categories(config, load)
    height, width, channels = images.images.shape[1:]
    shape = (channels, height, width)
    messages = [f"skipped unreadable image {name}: {why}" for name, why in images.unreadable]
    messages.extend(f"left out {said}" for said in describe_left_out(images))
    messages.extend(found)
    if checkpoint is not None:
        check_data_shape(checkpoint, shape, directory)
        messages.append(f"resuming {directory} at step {checkpoint.progress['step']}")
        messages.extend(f"changed option {name}: {change}" for name, change in changes.items())
    elif config.training.recipe == RECOMMENDED:
        named = {field_name(key) for key in options}
        config, chosen = with_network_size(config, height, width, named)
        messages.extend(chosen)
    poolings(config.training.coarse_to_fine, height, width, config.model.patch_size)
    std = images.std if checkpoint is None else checkpoint.data_std
    spec = build.ModelSpec(config.model, shape, std)
    with out_of_memory_advice(advice_on_memory(config)):
        _check_same(ranks, config, images, checkpoint)
        device, choice = choose_device(config.training.device), config.training.compile
        weights = build.count_weights(spec)
        smaller = smaller_network(spec, device) if checkpoint is None else "use another machine"
        size = check_weights(weights, config, device, smaller)
        what = _images_in_steps(images, config.training.batch_size)
        logger.info(f"{what}; {weights:,} weights, which take {as_text(size)} to train")
        messages.extend(filter(None, [compilation.describe_compilation(device, choice)]))
        method = method or method_of(config, std)
        learner, ema_model = build_run_learner(
            config, spec, checkpoint, str(directory), ranks, method
        )
        learner, step = fit_step(learner, ema_model, config, smaller)
        if config.training.fits_memory:
            messages.append(step.describe(config.training.batch_size))
        scorer = None
        if config.cadence.eval_freq:
            scorer = prepare_scorer(ema_model, images, config, learner.part_size, ranks)
            messages.append(scorer.announcement())
    progress = TrainingProgress.of_saved({} if checkpoint is None else checkpoint.progress)
    run = Run(directory, config, images, spec, learner, ema_model, progress, scorer, ranks)
    return Prepared(run, tuple(messages), step)


def _images_in_steps(images: DecodedImages, batch_size: int) -> str:
    count, height, width, channels = images.images.shape
    return (
        f"{count:,} images of {describe(height, width)}, {channels} channel{'s' * (channels > 1)}, "
        f"in steps of {batch_size}"
    )


def _check_batch(images: int, processes: int) -> None:
    if images < processes:
        raise InputError(
            f"batch_size {images} is less than one image for each of {processes} processes"
        )


def _accepted_sizes(
    config: RunConfig, checkpoint: Checkpoint | None, options: Mapping[str, Any]
) -> Accepted:
    """Which sizes of images the network takes, as far as it is settled before these are known."""
    if checkpoint is not None:
        return Accepted(only=checkpoint.data_shape[1:])
    is_chosen = "dim_mults" not in map(field_name, options)
    if config.training.recipe == RECOMMENDED and is_chosen:
        return Accepted(config.model.patch_size)
    return Accepted(config.model.size_unit)


@contextlib.contextmanager
def open_run(
    options: Mapping[str, Any] | RunConfig,
    directory: str | Path,
    on_decode: Callable[[int, int], None] | None = None,
    ranks: Ranks = ALONE,
    method: Method | None = None,
) -> Iterator[Run]:
    """Begin a run in ``directory``, or resume the one that is there; see `prepare`.

    A directory that holds a run is locked first, a new one made and locked once all has been checked:
    a second process is refused. Of several ranks the first does that.
    """
    directory = Path(directory)
    if not ranks.is_first:
        yield prepare(options, directory, None, ranks, method).run
        return
    with contextlib.ExitStack() as stack:
        lock = locked(directory / ".lock")
        has_begun = newest_checkpoint(directory) is not None
        if has_begun:
            stack.enter_context(lock)
        prepared = prepare(options, directory, on_decode, ranks, method)
        directory.mkdir(parents=True, exist_ok=True)
        if not has_begun:
            stack.enter_context(lock)
        stack.enter_context(log_file(directory / "log.txt"))
        for left in directory.glob(".checkpoint_*.tmp"):  # of a session that was killed
            left.unlink()
        write_config(prepared.run)
        for message in prepared.messages:
            logger.info(message)
        yield prepared.run


def build_run_learner(
    config: RunConfig,
    spec: build.ModelSpec,
    checkpoint: Checkpoint | None,
    source: str,
    ranks: Ranks,
    method: Method,
) -> tuple[Learner, Model]:
    """The learner and the model with averaged weights; ``source`` is what errors name."""
    training, device = config.training, choose_device(config.training.device)
    choice = training.compile
    if device.type == "cpu" and choice != "off" and ranks.any(bool(compilation.why_not_compiled())):
        choice = "off"  # all ranks lay their weights out alike
    network = build.new_denoiser(spec, training.seed)
    ema_network = copy.deepcopy(network)
    weak_network = copy.deepcopy(network) if training.weak_at else None
    if checkpoint is not None:
        build.load_weights(network, checkpoint.model, source)
        build.load_weights(ema_network, checkpoint.ema, source)
        if weak_network is not None:
            build.load_weights(weak_network, checkpoint.weak or checkpoint.ema, source)
    for weights in filter(None, (network, ema_network, weak_network)):
        compilation.compile_network(weights.to(device), device, choice)
    shared = ranks.parallel(network)
    model, ema_model = (
        build.assemble(
            spec,
            weights,
            device=device,
            precision=training.precision,
            config=config,
            weak=weak_network,
        )
        for weights in (shared, ema_network)
    )
    ranks.check_same("kind of precision", needs_loss_scale(model.chain.denoiser))
    learner = build_learner(training, model.chain, shared, ema_network, method, ranks)
    learner = replace(learner, weak_network=weak_network, augment=config.model.augment)
    if checkpoint is not None:
        assert checkpoint.optimizer is not None
        learner.optimizer.load(checkpoint.optimizer)
    return learner, ema_model


def _check_same(
    ranks: Ranks, config: RunConfig, images: DecodedImages, checkpoint: Checkpoint | None
) -> None:
    """Raise `InputError` where machines hold other files than each other."""
    ranks.check_same("options", config)
    ranks.check_same("images", (images.images.shape, images.histogram.tolist()))
    ranks.check_same("checkpoint", None if checkpoint is None else dict(checkpoint.progress))
