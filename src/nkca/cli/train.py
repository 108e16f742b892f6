"""nkca-train: a folder of images in, a model out."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from nkca.cli.command import command, needs
from nkca.cli.help_sections import SectionedCommand, Sections, help_all_option
from nkca.cli.options import config_options
from nkca.cli.progress import ProgressBar, messages
from nkca.cli.signals import stop_on_signal
from nkca.config.image_size import describe
from nkca.config.parsing import configure, duration, field_name, read_yaml
from nkca.demo import path_as_argument
from nkca.errors import InputError, out_of_memory_advice
from nkca.system.allocator import keep_freed_memory
from nkca.system.threads import wait_briefly, with_fastest_threads

if TYPE_CHECKING:
    from nkca.runs.run import Run
    from nkca.training.learner import StepReport, TrainingProgress


class TrainCommand(SectionedCommand):
    """nkca-train, with its options grouped by subject."""

    sections: ClassVar[Sections] = {
        "images": (
            *("dataset", "resize", "fit", "channels", "background", "data_augmentation", "strict"),
            *("cache", "cache_dir", "data_workers"),
        ),
        "model": (
            *(
                "discrete",
                "palette",
                "labels",
                "hidden_size",
                "dim_mults",
                "patch_size",
                "num_classes",
            ),
            *("carry_over", "parametrisation", "lag", "chain_noise", "augment"),
        ),
        "training": (
            *("recipe", "max_time", "batch_size", "epochs", "max_steps", "seed"),
            *(
                "denoise_first",
                "denoise_weight",
                "adjust",
                "level_draw",
                "level_mean",
                "level_std",
                "min_noise",
                "coarse_to_fine",
            ),
            *("optimizer", "lr", "adam_b1", "adam_b2", "lr_warmup", "lr_decay", "grad_clip"),
            *("ema_decay", "ema_warmup", "ema_length", "weak_at"),
        ),
        "sampling": ("sampler", "ladder", "num_sampling_steps", "guidance"),
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
            *("dataset", "resize", "palette", "labels", "max_time", "batch_size"),
            *("save_dir", "config_file", "dry_run", "device"),
        }
    )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say which flags are meant by arguments without one."""
        given, extra, order = self.make_parser(ctx).parse_args(list(args))
        if extra and not any(parameter.is_eager for parameter in order):  # --help
            dataset = "" if "dataset" in given else f"use --dataset={shlex.quote(extra[0])}"
            folder = "" if "save_dir" in given else "--save-dir=DIR"
            advice = " and ".join(filter(None, [dataset, folder])) or "every value needs its flag"
            raise InputError(f"unexpected argument {extra[0]}: {advice}")
        return super().parse_args(ctx, args)


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
@click.option(
    "--dry-run", is_flag=True, help="Report what would be trained and how fast, then stop."
)
@click.option("--quiet", "-q", is_flag=True, help="Only warnings and errors.")
def main(
    config_file: Path | None, save_dir: Path, dry_run: bool, quiet: bool, **flags: Any
) -> None:
    """Train a stationary Markov chain on the images in --dataset.

    \b
    nkca-train --dataset=photos --resize=64 --save-dir=runs/photos
    nkca-train --config=configs/demo.yaml --save-dir=runs/demo
    torchrun --nproc-per-node=2 -m nkca.cli.train ...             on several devices (docs/distributed.md)

    The run directory holds checkpoints, config.yaml, log.txt, previews/, reconstructions/ and
    tensorboard/. Ctrl-C saves and stops; the same command continues from there.
    """
    from_file = read_yaml(config_file) if config_file else {}
    options = {field_name(key): value for key, value in from_file.items()}
    options |= {name: value for name, value in flags.items() if value is not None}
    if config_file:
        _check(options, from_file, config_file)
    keep_freed_memory()
    wait_briefly()
    if dry_run:
        _dry_run(options, save_dir, quiet)
    else:
        _train(options, save_dir, quiet)


def _check(options: dict[str, Any], from_file: dict[str, Any], config_file: Path) -> None:
    """Raise `InputError`; it names the config file where that alone is wrong."""
    try:
        configure(options)
    except InputError:
        configure(from_file, str(config_file))


def _train(options: dict[str, Any], save_dir: Path, quiet: bool) -> None:
    needs("tensorboard")
    from nkca.distributed.launch import joined
    from nkca.models.checkpoint import FINAL, LATEST
    from nkca.runs.loop import train
    from nkca.runs.start import open_run

    advice = f"what is saved in {save_dir} is intact: the same command goes on"
    with joined(_device(options, save_dir), advice) as ranks:
        silent = not ranks.is_first
        quiet = quiet or silent
        with (
            messages(quiet, silent),
            ProgressBar(quiet) as show,
            open_run(options, save_dir, show.on_decode, ranks) as run,
        ):
            first_step = run.progress.step
            with stop_on_signal(silent) as should_stop:
                reports = train(run, should_stop)
                if run.config.training.max_time is not None and ranks.count == 1:
                    reports = with_fastest_threads(reports)
                with contextlib.closing(reports):
                    _show(reports, run, show)
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
        click.echo("  to continue  the same command again")
    elif step == first_step:
        click.echo("  to train on  raise --epochs, --max-steps or --max-time")


def _device(options: dict[str, Any], save_dir: Path) -> str:
    """The device on which several processes join: that of the options, else of the run in ``save_dir``."""
    from nkca.distributed.launch import is_one_of_many

    path = save_dir / "config.yaml"
    own = read_yaml(path) if is_one_of_many() and path.exists() else {}
    return str({**own, **options}.get("device", "auto"))


def _show(reports: "Iterator[StepReport]", run: "Run", show: ProgressBar) -> None:
    """Take the steps; show the smoothed loss, images per second and the time left."""
    first, loss = run.progress, None
    show("", first.images, run.total_images, "images")
    for report in reports:
        if not report.was_skipped:
            loss = report.loss if loss is None else 0.98 * loss + 0.02 * report.loss
        shown = report.loss if loss is None else loss
        note = f"step {report.progress.step:,}, loss {shown:.4g}"
        show("", report.progress.images, _images_at_end(run, first), "images", note)


def _images_at_end(run: "Run", first: "TrainingProgress") -> int:
    """By --epochs, --max-steps or --max-time, whichever ends first; ``first`` is where we began."""
    done, limit = run.progress, run.config.training.max_time
    if limit is None or done.seconds <= first.seconds:
        return run.total_images
    rate = (done.images - first.images) / (done.seconds - first.seconds)
    left = round(rate * max(0.0, limit - done.seconds))
    return min(run.total_images, done.images + left)


def _dry_run(options: dict[str, Any], save_dir: Path, quiet: bool) -> None:
    from nkca.distributed.launch import is_one_of_many
    from nkca.models.build import count_weights
    from nkca.pictures.png import save_png
    from nkca.runs.advice import faster, is_long
    from nkca.runs.dry_run import dry_run
    from nkca.runs.fitted_images import describe_fitting, warnings
    from nkca.runs.memory_fit import advice_on_memory
    from nkca.runs.network_size import as_flags
    from nkca.runs.start import prepare

    if is_one_of_many():
        raise InputError("--dry-run is for one process: leave out torchrun")
    advice = None
    with messages(quiet), ProgressBar(quiet) as show:
        prepared = prepare(options, save_dir, show.on_decode)
        run = prepared.run
        with out_of_memory_advice(advice_on_memory(run.config)):
            found = dry_run(run)
            if is_long(run, found.seconds):
                flags, less = faster(run, found.seconds_per_step)
                advice = f"with {as_flags(flags)} it takes {duration(less)}, as measured"
    save_dir.mkdir(parents=True, exist_ok=True)
    sheet = save_dir / "dry_run.png"
    save_png(sheet, found.sheet)
    channels, height, width = run.spec.data_shape
    batch, seconds = run.config.training.batch_size, found.seconds_per_step
    steps, epochs = f"{found.steps:,}", f"{run.config.training.epochs}"
    capped = ""
    if found.seconds < found.steps * seconds:
        count = found.seconds / seconds
        steps, epochs = f"about {count:,.0f}", f"{count * batch / len(run.images):,.1f}"
        capped = ", when --max-time ends it"
    size = f"{describe(height, width)}, {channels} channel{'s' * (channels > 1)}"
    click.echo(f"images       {len(run.images):,} of {size}")
    click.echo(f"unreadable   {len(run.images.unreadable)}")
    for name, reason in run.images.unreadable[:10]:
        click.echo(f"             {name}: {reason}")
    fitted = describe_fitting(run.images, run.config.data)
    for label, said in fitted:
        click.echo(f"{label:<12} {said}")
    click.echo(f"parameters   {count_weights(run.spec):,}")
    click.echo(f"device       {run.ema_model.device}")
    click.echo(f"steps        {steps} of {batch} images, {epochs} epochs")
    rate = f"{seconds:.3g} s a step ({batch / seconds:.3g} images/s)"
    click.echo(f"time         {rate}: {duration(found.seconds)}{capped}")
    if advice is not None:
        click.echo(f"advice       {advice}")
    click.echo(f"memory       {prepared.step.describe(batch)}")
    if run.scorer is not None:
        click.echo(f"evaluation   {run.scorer.announcement()}")
    last = "; last, files with what is lost in red, above how they are used" if fitted else ""
    click.echo(f"sheet        {sheet}: images as the model sees them, then noised{last}")
    for warning in warnings(run.images, run.config.data, batch):
        click.echo(f"warning      {warning}")
    click.echo("Nothing was trained; leave out --dry-run to begin.")


if __name__ == "__main__":
    main()
