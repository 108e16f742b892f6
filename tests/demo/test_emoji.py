"""The set of emoji in the package."""

import hashlib
import zipfile

from nkca.config.parsing import configure
from nkca.data.dataset import load_dataset
from nkca.demo import DEMO_EMOJI, IMAGES, dataset_path, measured_path

EMOJI = IMAGES[DEMO_EMOJI]
COUNT, SHARE_OF_WHITE = 1878, (0.2, 0.6)


def test_it_is_read_as_colour_pictures_of_one_size_on_white() -> None:
    images = load_dataset(configure({"dataset": DEMO_EMOJI, "cache": False}).data).images
    assert images.shape == (COUNT, 32, 32, 3)
    assert SHARE_OF_WHITE[0] < (images == 255).all(-1).mean() < SHARE_OF_WHITE[1]
    assert (images[..., 0] != images[..., 2]).mean() > 0.2  # colours
    kinds = {hashlib.sha256(image.tobytes()).hexdigest() for image in images}
    assert len(kinds) == COUNT


def test_all_commands_know_its_name_and_its_files_are_named() -> None:
    assert dataset_path(DEMO_EMOJI) == EMOJI
    assert measured_path("demo-emoji:images") == str(EMOJI)
    assert measured_path("./demo-emoji") == "./demo-emoji"
    with zipfile.ZipFile(EMOJI) as archive:
        assert "1f600-grinning.png" in archive.namelist()
    assert EMOJI.stat().st_size < 2_500_000
    assert "CC-BY 4.0" in EMOJI.with_name("LICENSE.txt").read_text("utf-8")
