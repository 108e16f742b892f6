"""What other programs and other spellings call our options and values."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from nkca.errors import nearest

_SPELLINGS = {
    "gray": "grey",
    "color": "colour",
    "parametrization": "parametrisation",
    "parameterization": "parametrisation",
    "parameterisation": "parametrisation",
    "visualise": "visualize",
    "optimiser": "optimizer",
}

# Ours, some with the value that is meant: what others call it, words joined by dashes.
OPTIONS_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "dataset": "data data-dir data-path data-root train-data train-dir dataset-path input images",
        "resize": "image-size img-size size resolution width height",
        "channels": "image-channels num-channels in-channels",
        "channels=1": "grey greyscale grayscale",
        "channels=3": "colour rgb",
        "background": "background-colour bg fill",
        "data-augmentation": "augmentation augmentations flip random-flip",
        "data-augmentation=fliph": "hflip fliph horizontal-flip mirror",
        "data-augmentation=flipv": "vflip flipv vertical-flip",
        "data-workers": "workers num-workers jobs",
        "cache-dir": "cache-folder cache-path",
        "discrete": "categorical",
        "num-classes": "classes num-levels bins",
        "palette": "colours num-colours palette-file indexed",
        "labels": "label-map label-maps segmentation ids",
        "carry-over": "carryover copy-visible",
        "hidden-size": "dim hidden-dim base-channels model-channels base-width",
        "dim-mults": "channel-mult channel-mults channel-multipliers",
        "patch-size": "patch",
        "max-time": "time time-limit timeout duration train-time",
        "batch-size": "batch batches train-batch-size bs num-chains chains",
        "epochs": "num-epochs n-epochs max-epochs num-train-epochs",
        "max-steps": "steps num-steps iterations iters max-iters train-steps max-train-steps",
        "seed": "random-seed manual-seed first-seed",
        "lr": "learning-rate rate",
        "lr-warmup": "warmup warmup-steps lr-warmup-steps",
        "adam-b1": "beta1 adam-beta1",
        "adam-b2": "beta2 adam-beta2",
        "grad-clip": "clip clip-grad gradient-clip max-grad-norm grad-norm clip-norm",
        "ema-decay": "ema ema-rate",
        "accumulate": "accumulation-steps grad-accum gradient-accumulation gradient-accumulation-steps",
        "activation-checkpointing": "gradient-checkpointing grad-checkpointing",
        "max-memory": "memory memory-limit",
        "save-dir": "output out output-dir out-dir outdir outputs results save logdir log-dir run-dir",
        "config": "config-file cfg yaml",
        "checkpoint-freq": "save-every save-freq save-interval save-steps checkpoint-every snap",
        "coarse-to-fine": "progressive progressive-growing progressive-resizing",
        "viz-freq": "sample-every preview-freq log-images",
        "eval-freq": "eval-every eval-interval eval-steps",
        "device": "gpu gpus gpu-id cuda accelerator",
        "device=cpu": "cpu no-cuda no-gpu",
        "precision": "amp dtype mixed-precision",
        "precision=fp16": "fp16 half float16",
        "precision=bf16": "bf16 bfloat16",
        "num-samples": "n num count samples n-samples num-images number images-per-prompt",
        "seeds": "seed-list",
        "num-sampling-steps": (
            "steps num-steps sampling-steps sample-steps num-inference-steps inference-steps"
        ),
        "max-sampling-noise": "noise noise-level strength denoising-strength start-noise",
        "min-sampling-noise": "end-noise",
        "guidance": "cfg-scale guidance-scale guidance-strength",
        "sampler": "solver scheduler method",
        "inpainting-mask": "mask mask-image inpaint inpainting",
        "invert-mask": "inverse-mask mask-invert",
        "save-grid": "grid sheet contact-sheet",
        "save-animation=gif": "gif animation animate",
        "save-animation=mp4": "mp4 video",
        "save-intermediate": "intermediate intermediates save-steps",
        "overwrite": "force f exist-ok",
        "quiet": "silent no-progress",
        "features": "extractor feature-extractor feature-network",
        "save-stats": "stats statistics save-statistics",
        "train": "train-images training-images",
        "no-browser": "headless",
        "port": "p server-port",
        "host": "server-name bind address ip listen",
        "session": "load-session replay",
        # arguments, which have no flag
        "checkpoint": "ckpt model model-path model-dir weights run resume load",
        "images": "image input init-image source",
        "samples": "checkpoint ckpt model model-path weights run generated fake",
    }
)

VALUES_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "fliph": "hflip horizontal horizontal-flip flip-h mirror",
        "flipv": "vflip vertical vertical-flip flip-v",
        "auto": "gpu any",
        "cuda": "nvidia rocm",
        "mps": "metal apple",
        "fp32": "float32 float single full",
        "fp16": "float16 half",
        "bf16": "bfloat16",
        "on": "true yes always",
        "off": "false no never none",
        "1": "grey greyscale grayscale l",
        "3": "colour rgb",
        "4": "rgba alpha",
        "adam": "adamw",
        "paper": "original published",
        "recommended": "default best",
        "log-normal": "lognormal edm",
        "adaptive": "importance loss-second-moment loss-aware",
        "chain": "ddpm markov",
        "dpm2m": "dpm dpmpp dpm++ dpmpp-2m dpm++2m dpm-solver",
        "heun": "edm",
        "inception": "fid inception-v3 inceptionv3 inception-v3-compat",
        "efficientnet-lite0": "efficientnet lite0",
        "pixels": "pixel raw",
    }
)


def canonical(token: str) -> str:
    """A name in our spelling: lower case, dashes, British or American as we have it."""
    words = token.lower().replace("_", "-").split("-")
    return "-".join(_SPELLINGS.get(word, word) for word in words)


def names_here(word: str, elsewhere: Mapping[str, str]) -> list[str]:
    """What ``word`` may be called here, by a table of what others call it; the first is the likeliest."""
    theirs = canonical(word)
    return [ours for ours, names in elsewhere.items() if theirs in (ours, *names.split())]


def choice_of(word: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that ``word`` is in any spelling, or None."""
    return next((choice for choice in choices if canonical(choice) == canonical(word)), None)


def instead(word: str, choices: Iterable[str]) -> str:
    """Return ``: use X`` where other programs call X ``word``, else the nearest, or an empty string."""
    choices = list(choices)
    here = (name for name in names_here(word, VALUES_ELSEWHERE) if name in choices)
    found = next(here, None)
    return nearest(word, choices) if found is None else f": use {found}"
