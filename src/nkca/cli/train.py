"""nkca-train: a folder of images in, a model out."""

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from nkca.cli.command import command
from nkca.cli.help_sections import SectionedCommand, Sections, help_all_option
from nkca.cli.options import config_options, messages
from nkca.cli.signals import stop_on_signal
from nkca.config.parsing import configure, field_name, read_yaml
from nkca.demo import path_as_argument
from nkca.errors import InputError, out_of_memory_says
from nkca.system.allocator import keep_freed_memory

if TYPE_CHECKING:
    from tqdm import tqdm

    from nkca.runs.run import Run
    from nkca.training.learner import StepReport

LINE_SECONDS = 10.0  # between lines of progress where there is no terminal


class TrainCommand(SectionedCommand):
    """nkca-train with its options by what they are about."""

    sections: ClassVar[Sections] = {
        "images": (
            *("dataset", "resize", "channels", "background", "data_augmentation", "strict"),
            *("cache", "cache_dir", "data_workers"),
        ),
        "model": ("discrete", "hidden_size", "dim_mults", "num_classes", "parametrisation", "lag"),
        "training": (
            *("max_time", "batch_size", "epochs", "max_steps", "lr", "adam_b1", "adam_b2"),
            *("lr_warmup", "ema_decay", "ema_warmup", "grad_clip", "min_noise", "seed"),
        ),
        "saving and showing": (
            *("save_dir", "config_file", "dry_run", "quiet", "checkpoint_freq", "keep", "viz_freq"),
            *("eval_freq", "eval_samples", "eval_sampling_steps", "eval_time", "eval_dataset"),
            "eval_features",
        ),
        "machine": (
            *("device", "precision", "compile", "accumulate", "activation_checkpointing"),
            "max_memory",
        ),
    }
    needed_first: ClassVar[frozenset[str]] = frozenset(
        {
            *("dataset", "resize", "discrete", "hidden_size", "max_time", "batch_size"),
            *("save_dir", "config_file", "dry_run", "device"),
        }
    )


@command("nkca-train", cls=TrainCommand)
@help_all_option()
@config_options()
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="YAML file of options; flags take precedence over it.",
)
@click.option(
    "--save-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Directory of the run; the same command again resumes there.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be trained, how fast, and stop.")
@click.option("--quiet", "-q", is_flag=True, help="Only warnings and errors.")
def main(
    config_file: Path | None, save_dir: Path, dry_run: bool, quiet: bool, **flags: Any
) -> None:
    """Train a stationary Markov chain on the images in --dataset.

    \b
    nkca-train --dataset=photos --resize=64 --save-dir=runs/photos
    nkca-train --config=configs/demo.yaml --save-dir=runs/demo
    torchrun --nproc-per-node=2 -m nkca.cli.train ...             on several devices (docs/distributed.md)

    The run directory holds checkpoints, config.yaml, log.txt, previews/ and tensorboard/. Ctrl-C saves
    and stops; the same command goes on from there.
    """
    from_file = read_yaml(config_file) if config_file else {}
    options = {field_name(key): value for key, value in from_file.items()}
    options |= {name: value for name, value in flags.items() if value is not None}
    if config_file:
        _check(options, from_file, config_file)
    keep_freed_memory()
    if dry_run:
        _dry_run(options, save_dir, quiet)
    else:
        _train(options, save_dir, quiet)


def _check(options: dict[str, Any], from_file: dict[str, Any], config_file: Path) -> None:
    """Raise an error that names the file, where the file alone is wrong already."""
    try:
        configure(options)
    except InputError:
        configure(from_file, str(config_file))


def _train(options: dict[str, Any], save_dir: Path, quiet: bool) -> None:
    from nkca.distributed.launch import joined
    from nkca.distributed.ranks import lost_rank_advice
    from nkca.models.checkpoint import FINAL, LATEST
    from nkca.runs.loop import train
    from nkca.runs.start import open_run

    with joined(_device(options, save_dir)) as ranks:
        silent = not ranks.is_first
        quiet = quiet or silent
        on_decode = _DecodeBar(quiet)
        with messages(quiet, silent), contextlib.ExitStack() as stack:
            with lost_rank_advice("nothing was trained: the same command tries again"):
                run = stack.enter_context(open_run(options, save_dir, on_decode, ranks))
            on_decode.close()
            with stop_on_signal(silent) as should_stop, _Progress(run, quiet) as progress:
                for report in train(run, should_stop):
                    progress.show(report)
            step, finished = run.progress.step, run.is_finished()
    if quiet:
        return
    name = FINAL if finished else LATEST
    click.echo(f"{'Finished' if finished else 'Stopped'} at step {step:,}.")
    click.echo(f"  checkpoint   {save_dir / name}")
    if (save_dir / "previews").exists():
        click.echo(f"  previews     {save_dir / 'previews'}")
    click.echo(f"  curves       tensorboard --logdir={save_dir}")
    click.echo(
        f"  next         nkca-sample {path_as_argument(save_dir)} --num-samples=36 --save-grid "
        "--save-dir=samples"
    )
    if not finished:
        click.echo("  to go on     the same command again")
    elif step == progress.first_step:
        click.echo("  to train on  raise --epochs, --max-steps or --max-time")


def _device(options: dict[str, Any], save_dir: Path) -> str:
    """The device that the options name, else that of the run in ``save_dir``, as several meet there."""
    from nkca.distributed.launch import is_one_of_many
    from nkca.models.checkpoint import load_checkpoint
    from nkca.runs.start import newest_checkpoint

    path = newest_checkpoint(save_dir)
    if "device" in options or path is None or not is_one_of_many():
        return str(options.get("device", "auto"))
    return configure(load_checkpoint(path).config, str(path)).training.device


class _DecodeBar:
    """Shows the decoding of images; off a terminal, one line when it begins."""

    def __init__(self, quiet: bool) -> None:
        self._bar: tqdm[Any] | None = None
        self._quiet = quiet

    def __call__(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            hidden = self._quiet or not sys.stderr.isatty()
            if hidden and not self._quiet:
                click.echo(f"decoding {total // 2:,} images", err=True)
            self._bar = tqdm(total=total, desc="decoding", disable=hidden, leave=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


class _Progress:
    """Loss, images per second and time left: a bar on a terminal, else a line now and then."""

    def __init__(self, run: "Run", quiet: bool) -> None:
        from tqdm import tqdm

        self._run, self._quiet = run, quiet
        self.first_step = run.progress.step
        self._bar = tqdm(
            total=run.total_images,
            initial=min(run.progress.images, run.total_images),
            unit=" images",
            disable=quiet or not sys.stderr.isatty(),
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{unit}, {rate_fmt}{postfix}",
        )
        self._loss: float | None = None
        self._began_at = self._said_at = time.monotonic()
        self._began_images = run.progress.images

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, report: "StepReport") -> None:
        """Take one step's report."""
        if not report.was_skipped:
            old = report.loss if self._loss is None else self._loss
            self._loss = 0.98 * old + 0.02 * report.loss
        done, now = report.progress, time.monotonic()
        rate = (done.images - self._began_images) / (now - self._began_at)
        left = self._seconds_left(rate)
        said = f"step {done.step:,}, loss {self._loss or report.loss:.4g}, {duration(left)} left"
        self._bar.total = min(self._run.total_images, done.images + round(rate * left))
        self._bar.update(min(done.images, self._bar.total) - self._bar.n)
        self._bar.set_postfix_str(said, refresh=False)
        if self._bar.disable and not self._quiet and now - self._said_at >= LINE_SECONDS:
            click.echo(f"{said}, {rate:.3g} images/s", err=True)
            self._said_at = now

    def _seconds_left(self, rate: float) -> float:
        """By the images or by --max-time, whichever ends first."""
        done, limit = self._run.progress, self._run.config.training.max_time
        left = (self._run.total_images - done.images) / rate
        return left if limit is None else min(left, limit - done.seconds)


def duration(seconds: float) -> str:
    """``1:02:03``."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _memory(peak: int | None) -> str:
    if peak is None:
        return "not measured: this system does not say"
    return f"{peak / 2**20:,.0f} MiB at most, measured on a few steps"


def _dry_run(options: dict[str, Any], save_dir: Path, quiet: bool) -> None:
    from nkca.distributed.launch import is_one_of_many
    from nkca.pictures.png import save_png
    from nkca.runs.dry_run import rehearse
    from nkca.runs.memory_fit import advice_on_memory
    from nkca.runs.start import prepare

    if is_one_of_many():
        raise InputError("--dry-run is for one process: leave out torchrun")
    on_decode = _DecodeBar(quiet)
    with messages(quiet):
        run = prepare(options, save_dir, on_decode).run
        on_decode.close()
        with out_of_memory_says(advice_on_memory(run.config)):
            found = rehearse(run)
    save_dir.mkdir(parents=True, exist_ok=True)
    sheet = save_dir / "dry_run.png"
    save_png(sheet, found.sheet)
    channels, height, width = run.spec.data_shape
    batch, seconds = run.config.training.batch_size, found.seconds_per_step
    total = found.steps * seconds
    limit = run.config.training.max_time
    capped = (
        "" if limit is None or limit > total else f", stopped by --max-time at {duration(limit)}"
    )
    click.echo(f"images       {len(run.images):,} of {width}x{height}, {channels} channel(s)")
    click.echo(f"unreadable   {len(run.images.unreadable)}")
    for name, reason in run.images.unreadable[:10]:
        click.echo(f"             {name}: {reason}")
    click.echo(f"parameters   {found.parameters:,}")
    click.echo(f"device       {run.ema_model.device}")
    click.echo(
        f"steps        {found.steps:,} of {batch} images, {run.config.training.epochs} epochs"
    )
    if run.learner.parts > 1:
        click.echo(f"parts        {run.learner.parts} of at most {run.learner.part_size} images")
    click.echo(
        f"time         {seconds:.3g} s a step ({batch / seconds:.3g} images/s): {duration(total)}{capped}"
    )
    click.echo(f"memory       {_memory(found.peak_memory)}")
    if run.scorer is not None:
        click.echo(f"evaluation   {run.scorer.announcement()}")
    click.echo(f"sheet        {sheet}: images as the model sees them, then noised")
    click.echo("Nothing was trained; leave out --dry-run to begin.")


if __name__ == "__main__":
    main()
