"""A frame that is decoded smaller for the network's input has the descriptor of the whole one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import service
from models.bundle import DEFAULT_BUNDLE, Bundle
from models.decoding.imagefile import decode_frame
from models.preprocessing import Pixels, prepare
from models.runtime import Models
from tests.models.decoding.samples import encoded

DEMO = Path(service.__file__).parent / "demo" / "images"


@pytest.mark.slow
def test_the_shipped_bundles_descriptors_stay_the_same() -> None:
    bundle = Bundle.load(DEFAULT_BUNDLE)
    spec = bundle.manifest.input
    least = 2 * 3 * max(spec.height, spec.width)
    shown: list[Pixels] = []
    scaled: list[Pixels] = []
    for path, size in zip(sorted(DEMO.iterdir())[::12], 3 * [(1920, 1080), (least, least)], strict=False):
        data = encoded(Image.open(path).convert("RGB").resize(size), "JPEG", quality=90)
        frames = [decode_frame(data), decode_frame(data, side=max(spec.height, spec.width))]
        assert [frame.image.width for frame in frames] == [size[0], size[0] // 2]
        for prepared, frame in zip((shown, scaled), frames, strict=True):
            prepared.append(prepare(frame.image, spec))
    assert len(shown) == 6
    embedder = Models.load(bundle, "cpu").embedder
    one, other = (embedder.embed(np.stack(each)).descriptors.astype(np.float64) for each in (shown, scaled))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / lengths
    assert cosines.min() >= 0.999
    assert cosines.max() < 1
