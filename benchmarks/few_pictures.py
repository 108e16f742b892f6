"""A folder of few pictures: what is drawn, and what is learnt by heart, with and without augmentation.

    python benchmarks/few_pictures.py [--rows "plain;augment"] [--seconds 600] [--pictures 400] [--seed 0]

Each row trains on the first --pictures of Fashion-MNIST, in one thread, until it has used --seconds of CPU
time, then draws --samples pictures. As in `quality.py`, a judge and KID compare them with images that were
not trained on. Copies are looked for among pixels: a sample is near if its root mean squared distance to
the nearest training picture is smaller than that of all but 1 % of as many unseen test images. A model that
copies has more near samples; one that draws pictures of its own has 1 %. What is done already is not done
again.
Needs Debian's dataset-fashion-mnist.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import nkca

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
from judges import Judge
from make_fashion_mnist import SOURCE, png_files, read_split, write_zip
from quality import EXTRACTOR, ROOT, Images, do_rows, draw, of_nkca, prepare_bench, save_sheet

ROWS: dict[str, dict[str, Any]] = {"plain": {}, "augment": {"augment": 0.12}}
NEAR = 1  # per cent of unseen images that are as near to a training picture as a near sample is


def distances(images: Images, training: Images) -> npt.NDArray[np.float32]:
    """Root mean squared difference (N,) of images and the nearest training picture, of grey values."""
    one, other = (torch.from_numpy(each.copy()).flatten(1).float() for each in (images, training))
    found: npt.NDArray[np.float32] = (torch.cdist(one, other).min(1).values / 28).numpy()
    return found


def measure(row: str, judge: Judge, arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Train on few pictures and judge what is drawn."""
    (training, _), (test, _) = (read_split(SOURCE, split) for split in ("train", "test"))
    training, unseen = training[: arguments.pictures].copy(), test[: arguments.samples].copy()
    seen, model = of_nkca(ROWS[row], data, arguments.seconds, arguments.seed)
    samples = draw(model, arguments.samples)
    save_sheet(row, samples, arguments)
    compared = {"drawn": samples, "unseen": unseen, "training": training}
    verdicts = {name: judge(images) for name, images in compared.items()}
    result = {"images_seen": seen, "shares": verdicts["drawn"].shares}
    limit = np.percentile(distances(unseen, training), NEAR)
    for name, images in compared.items():
        scores = nkca.measure(
            images[..., None], test[-1000:, :, :, None].copy(), features=EXTRACTOR
        )
        result[name] = {
            "distance": round(verdicts[name].distance, 2),
            "kid_1000": round(1000 * scores.kid.mean, 2) if scores.kid else None,
            "near": round(float(100 * (distances(images, training) < limit).mean()), 1),
        }
    about = {name: getattr(arguments, name) for name in ("seconds", "seed", "samples", "pictures")}
    return {"row": row, **about, **result}


def main() -> None:
    """Do the rows that are not done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by ';'")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "few-pictures")
    arguments = parser.parse_args()
    judge, archive = prepare_bench()
    images, labels = read_split(SOURCE, "train")
    data = archive.with_name(f"fashion-mnist-{arguments.pictures}.zip")
    if not data.exists():
        write_zip(data, png_files(images, labels, range(arguments.pictures)))
    do_rows(arguments, lambda row: measure(row, judge, arguments, data))


if __name__ == "__main__":
    main()
