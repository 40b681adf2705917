"""A ranked answer as one HTML file with its images: nothing is loaded from elsewhere, nothing runs in it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from models.intake.names import printable
from models.wording import counted

if TYPE_CHECKING:
    from PIL import Image

SIDE = 256
"""px, the longer side of an image in the sheet."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; }
ol { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
li, .probe { width: 13rem; box-sizing: border-box; padding: .5rem; border: 1px solid #8886; }
figure { margin: 0; }
figcaption { overflow-wrap: anywhere; font-size: 13px; padding-top: .4rem; }
img, .none { width: 100%; aspect-ratio: 1; object-fit: contain; background: #8882; display: block; }
.match { border: 3px solid #2a7; padding: calc(.5rem - 2px); }
@media print { li { break-inside: avoid; } }
"""

HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>LKA-ReID: ranked answer</title>
<style>{STYLE}</style>
</head>
<body>
"""


def sheet(
    name: str,
    probe: bytes,
    answers: Sequence[Mapping[str, Any]],
    image_of: Callable[[str], bytes | None],
    made: datetime,
) -> str:
    """The page.

    Args:
        name: of the probe's file.
        probe: the file.
        answers: what `POST /query` answered, one for each vehicle.
        image_of: the file of an enrolled image by its id; None where it is enrolled no more.
        made: when it was answered.
    """
    when = f"{made.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    parts = [HEAD, f"<h1>Most similar to {_text(name)}</h1>\n<p>LKA-ReID, {when}</p>\n"]
    for answer in answers:
        vehicle = answer.get("vehicle")
        crop = answer.get("crop") or (vehicle["box"] if vehicle else None)
        what = "probe" if vehicle is None else f"{vehicle['type']} at {','.join(map(str, vehicle['box']))}"
        image = _image(probe, f"the {what}", crop)
        parts.append(
            f'<section>\n<h2>{_text(what)}</h2>\n<div class="probe">{image}</div>\n'
            f"<p>{_text(_how(answer))}</p>\n<ol>\n"
        )
        parts.extend(_match(match, image_of(match["image_id"])) for match in answer["matches"])
        parts.append("</ol>\n" if answer["matches"] else "</ol>\n<p>No enrolled image was found.</p>\n")
        parts.append("</section>\n")
    parts.append("</body>\n</html>\n")
    return "".join(parts)


def _how(answer: Mapping[str, Any]) -> str:
    """What was searched, and what a match is."""
    parts = ["both stages" if answer["reranked"] else "first stage alone"]
    parts.append(f"{counted(answer['gallery_size'], 'image')} enrolled")
    if answer.get("match_threshold") is not None:
        parts.append(f"a match from a similarity of {answer['match_threshold']:.3f} on")
    return ", ".join(parts)


def _match(match: Mapping[str, Any], data: bytes | None) -> str:
    image_id = match["image_id"]
    texts = [f"similarity {match['similarity']:.4f}"]
    if match["rerank_distance"] is not None:
        texts.append(f"re-rank distance {match['rerank_distance']:.4f}")
    if match.get("is_match") is not None:
        texts.append("match" if match["is_match"] else "no match")
    texts += [f"{name} {match[f'{name}_id']}" for name in ("vehicle", "camera") if match[f"{name}_id"]]
    if match.get("captured_at"):
        texts.append(str(match["captured_at"]))
    lines = "<br>".join(map(_text, texts))
    found = ' class="match"' if match.get("is_match") else ""
    return (
        f"<li{found}><figure>{_image(data, image_id)}<figcaption><b>{match['rank']}. {_text(image_id)}</b>"
        f"<br>{lines}</figcaption></figure></li>\n"
    )


def _image(data: bytes | None, name: str, box: Sequence[int] | None = None) -> str:
    """The image, small, or why there is none; of a frame what is in the box."""
    from models.decoding import ImageError
    from models.decoding.imagefile import decode_frame

    if data is None:
        return '<div class="none">enrolled no more</div>'
    try:
        image = decode_frame(data, whole=box is not None, side=SIDE).image
    except ImageError as error:
        return f'<div class="none">{_text(str(error))}</div>'
    if box is not None:
        left, top, width, height = box
        image = image.crop((left, top, left + width, top + height))
    return f'<img src="data:image/jpeg;base64,{_jpeg(image)}" alt="{_text(name)}">'


def _jpeg(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _text(words: str) -> str:
    """Words of others, as text of the page and of its attributes."""
    return escape(printable(words), quote=True)
