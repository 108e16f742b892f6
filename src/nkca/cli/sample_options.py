"""The options of nkca-sample, by section: a task adds a decorator of its options and a section."""

from pathlib import Path
from typing import ClassVar

import click

from nkca.cli.command import Choice
from nkca.cli.help_sections import SectionedCommand, Sections
from nkca.cli.options import Decorator, group


class SampleCommand(SectionedCommand):
    """nkca-sample, with its options grouped by task."""

    sections: ClassVar[Sections] = {
        "new images": ("num_samples", "seeds", "seed", "temperature", "samples_per_walk"),
        "what is known of pictures": (
            *("inpainting_mask", "invert_mask", "upscale", "grey_from", "coarse_from", "scale"),
        ),
        "an image mended or moved": ("denoise", "truth", "translate", "invert"),
        "sheets": (
            *("interpolate", "explore", "fan", "pages", "pick", "directions", "move"),
            *("directions_file", "select", "data"),
        ),
        "again": ("like", "replay", "export"),
        "noise levels": (
            *("max_sampling_noise", "min_sampling_noise", "num_sampling_steps", "sampler"),
            *("ladder", "guidance", "corrector_steps", "lag", "visualize"),
        ),
        "saving and showing": (
            *("save_dir", "overwrite", "save_grid", "save_intermediate", "save_animation"),
            "quiet",
        ),
        "machine": ("device", "precision", "compile", "batch_size"),
    }
    needed_first: ClassVar[frozenset[str]] = frozenset(
        {
            *("num_samples", "seeds", "temperature", "like", "save_dir", "save_grid"),
            *("inpainting_mask", "upscale", "grey_from", "coarse_from", "denoise", "translate"),
            *("interpolate", "explore", "fan", "directions", "pages", "select"),
        }
    )


def new_image_options() -> Decorator:
    """How many samples, and of which seeds."""
    return group(
        click.option(
            "--num-samples",
            type=click.IntRange(min=1),
            metavar="N",
            help="How many; with images, of each.  [default: 16; with images 1]",
        ),
        click.option(
            "--seeds", metavar="LIST", help="One for each sample, such as 0-99 or 3,7,20-29."
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            metavar="INT",
            help="First seed, where --seeds is not given.  [default: 0]",
        ),
        click.option(
            "--temperature",
            type=float,
            metavar="T",
            help="Noise times T, below 1: plainer, off the chain's law.  [default: 1]",
        ),
        click.option(
            "--samples-per-walk",
            type=click.IntRange(min=1),
            metavar="N",
            help="Take N samples from each walk at --max-sampling-noise (0.6): fewer evaluations.  "
            "[default: 1]",
        ),
    )


def known_options() -> Decorator:
    """What is known of the pictures."""
    return group(
        click.option(
            "--inpainting-mask",
            metavar="MASK",
            help="Repaint where this is white; of label maps also ids, as labels:3,7.",
        ),
        click.option(
            "--invert-mask/--no-invert-mask", default=None, help="Repaint where the mask is black."
        ),
        click.option("--upscale", metavar="SMALL", help="Make a small picture large."),
        click.option("--grey-from", metavar="PNG", help="Colour a picture: hold its grey values."),
        click.option(
            "--coarse-from",
            metavar="PNG",
            help="Hold a picture's means of --scale x --scale blocks.",
        ),
        click.option(
            "--scale",
            type=click.IntRange(min=2),
            metavar="N",
            help="Side of the blocks.  [default: 4; of --translate none are held]",
        ),
    )


def mending_options() -> Decorator:
    """What is done to images, other than variants."""
    return group(
        click.option(
            "--denoise",
            metavar="LEVEL|auto",
            help="Take away the images' noise, of that level.",
        ),
        click.option(
            "--truth",
            type=click.Path(path_type=Path),
            metavar="PNG",
            help="With --denoise: print PSNR and SSIM against this picture.",
        ),
        click.option(
            "--translate",
            is_flag=True,
            default=None,
            help="Move images of another kind into the model's.",
        ),
        click.option(
            "--invert",
            is_flag=True,
            default=None,
            help="Start from the images' own noise, to --move them.",
        ),
    )


def saving_options() -> Decorator:
    """Where pictures go, and which."""
    return group(
        click.option(
            "--save-dir",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("samples"),
            help="Where pictures go, or DIR-2 ... if not empty.  [default: samples]",
        ),
        click.option(
            "--overwrite", is_flag=True, help="Write into --save-dir even if it is not empty."
        ),
        click.option(
            "--save-grid",
            is_flag=True,
            help="Also a sheet of the first 256, a row for each image.",
        ),
        click.option("--save-intermediate", is_flag=True, help="Also a picture after every step."),
        click.option(
            "--save-animation",
            type=Choice(["gif", "mp4", "webp"]),
            help="Also an animation of the chain (first batch).",
        ),
        click.option("--quiet", "-q", is_flag=True, help="Only warnings and errors."),
    )


def repeating_options() -> Decorator:
    """What is repeated or exported in place of a new request."""
    return group(
        click.option(
            "--like",
            type=click.Path(path_type=Path),
            metavar="PNG",
            help="Repeat what made this picture; other flags change it.",
        ),
        click.option(
            "--replay",
            type=click.Path(path_type=Path),
            metavar="JSON",
            help="Repeat a session of nkca-interactive: its shelf and its last tiles.",
        ),
        click.option(
            "--export",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Write the model as a folder to be shared (safetensors, config, model card), and "
            "nothing else.",
        ),
    )
