"""What the headers of all images say: which there are, of which sizes, and what if sizes differ."""

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nkca.config.image_size import Accepted, as_option, describe, is_possible
from nkca.data.decode import Probe
from nkca.data.fitting import Size
from nkca.data.listing import Listing

_STEPS = re.compile(r".*/intermediate/[^/]+/step_\d+_level_[\d.]+\.png")


class SizeCount(NamedTuple):
    """How many images have a size, and the name of the first of them."""

    height: int
    width: int
    images: int
    example: str


@dataclass
class Headers:
    """A summary of the headers of all images; four bytes for each."""

    unreadable: dict[int, str] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    sizes: Counter[Size] = field(default_factory=Counter)
    examples: dict[Size, int] = field(default_factory=dict)  # the first image of each size
    size_of: "array[int]" = field(default_factory=lambda: array("i"))  # its example; -1: not used
    in_colour: bool = False

    def add(self, name: str, header: Probe | str) -> None:
        """Add the header of the next image, or the reason why it cannot be read."""
        number = len(self.size_of)
        if isinstance(header, str):
            self.unreadable[number] = header
        elif why := _made_beside_samples(name, header):
            self.left_out[number] = why
        else:
            size = (header.height, header.width)
            self.sizes[size] += 1
            self.examples.setdefault(size, number)
            self.in_colour |= header.channels == 3
            self.size_of.append(self.examples[size])
            return
        self.size_of.append(-1)

    def commonest(self) -> Size:
        """The size that most images have; of several the largest."""
        return max(self.sizes, key=lambda size: (self.sizes[size], math.prod(size), size))

    def keep_only(self, size: Size) -> None:
        """Leave out images of all other sizes."""
        example, reason = self.examples[size], f"not {describe(*size)}"
        others = (i for i, other in enumerate(self.size_of) if other not in (example, -1))
        self.left_out |= dict.fromkeys(others, reason)
        self.sizes = Counter({size: self.sizes[size]})

    def counts(self, listing: Listing) -> tuple[SizeCount, ...]:
        """The sizes of the images to use, the commonest first."""
        return tuple(
            SizeCount(*size, count, listing.names[self.examples[size]])
            for size, count in self.sizes.most_common()
        )

    def indices(self) -> Sequence[int]:
        """The indices of the images to use."""
        unused = self.unreadable.keys() | self.left_out.keys()
        everything = range(len(self.size_of))
        return [index for index in everything if index not in unused] if unused else everything

    def say_sizes(self, listing: Listing, largest: Size, accepted: Accepted) -> str:
        """That sizes differ, and the options that make one size of them, all of which are ``accepted``."""
        first = self.counts(listing)[:5]
        parts = [f"{count} of {h}x{w} ({example})" for h, w, count, example in first]
        more = f", and {len(self.sizes) - 5} more sizes" if len(self.sizes) > 5 else ""
        proposals = self._proposals(largest, accepted)
        advice = f"; use {', or '.join(proposals)}" if proposals else ""
        return f"images differ in size (height x width): {', '.join(parts)}{more}{advice}"

    def _proposals(self, largest: Size, accepted: Accepted) -> list[str]:
        most, total = max(self.sizes.values()), sum(self.sizes.values())
        short_sides = sorted(min(size) for size in self.sizes.elements())
        small = accepted.square(short_sides[total // 20])  # few smaller ones may be enlarged
        found = [] if small is None else [f"{as_option(*small)} (cut to that shape)"]
        for fit, size, up, meaning in (
            ("commonest", self.commonest(), False, f"{most} of {total} images"),
            ("pad", largest, True, "borders, nothing cut"),
        ):
            fits = accepted.includes(*size) and is_possible(size)
            near = size if fits else accepted.nearest(*size, up)
            if near is not None:
                resized = "" if near == size else f" {as_option(*near)}"
                found.append(f"fit={fit}{resized} ({meaning})")
        return found


def _made_beside_samples(name: str, header: Probe) -> str:
    """What nkca-sample wrote a picture as, if not as a sample, by its name there; else ""."""
    folder, _, file = name.rpartition("/")
    if file == "grid.png" and header.made_here:
        return "a sheet of samples"
    if file in ("animation.gif", "animation.webp"):
        return "an animation of samples"
    return "a step on the way to a sample" if _STEPS.fullmatch(f"/{folder}/{file}") else ""
