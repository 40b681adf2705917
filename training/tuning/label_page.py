"""A page on which a person labels pairs of crops; it needs no server and loads nothing from anywhere."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path

from models.bundle import write_file
from models.decoding import ImageError, decode
from training.datasets.image import DatasetError
from training.tuning.pairs import COLUMNS, LabelledPair

SIDE = 320
"""Most px of an image's side on the page."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>One vehicle or two?</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px system-ui, sans-serif; margin: 1.5rem auto; max-width: 46rem; padding: 0 1rem }}
figure {{ margin: 0 0 1.5rem; padding: .75rem; border: 1px solid #bbb; border-radius: 6px }}
figure img {{ width: 49%; height: 14rem; object-fit: contain; background: #eee }}
label {{ margin-right: 1.5rem }}
button {{ font: inherit; padding: .5rem 1rem }}
</style>
<h1>One vehicle or two?</h1>
<p>Save the labels as <code>{name}</code>, in the place of the file of that name, and run
<code>lka-reid adapt --pairs {name}</code>. What you leave open does not count.</p>
<form>{figures}
<button type="button" id="save">Save {name}</button> <span id="said" role="status"></span></form>
<script>
const rows = {rows};
const quote = (text) => /[",\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
document.getElementById("save").onclick = () => {{
  const data = new FormData(document.querySelector("form"));
  const lines = rows.map((row, n) => [...row, data.get("same" + n) ?? ""].map(quote).join(","));
  const link = document.createElement("a");
  const text = "{header}\\n" + lines.join("\\n") + "\\n";
  link.href = URL.createObjectURL(new Blob([text], {{type: "text/csv"}}));
  link.download = {file};
  link.click();
  const labelled = rows.filter((_, n) => data.get("same" + n)).length;
  document.getElementById("said").textContent = labelled + " of " + rows.length + " labelled";
}};
</script></html>
"""


def write_page(page: Path, file: Path, pairs: Sequence[LabelledPair]) -> None:
    """Write the page for pairs that stand in a CSV.

    Args:
        page: the HTML file.
        file: the CSV, beside it.
        pairs: in its order.

    Raises:
        DatasetError: an image cannot be read.
    """
    with file.open(newline="", encoding="utf-8") as opened:
        rows = [[row[name] for name in COLUMNS[:2]] for row in csv.DictReader(opened)]
    figures = "\n".join(_figure(number, pair) for number, pair in enumerate(pairs))
    text = PAGE.format(
        name=html.escape(file.name),
        figures=figures,
        # A name must not end the script.
        rows=json.dumps(rows).replace("<", "\\u003c"),
        file=json.dumps(file.name).replace("<", "\\u003c"),
        header=",".join(COLUMNS),
    )
    write_file(page, text.encode())


def _figure(number: int, pair: LabelledPair) -> str:
    images = "".join(
        f'<img src="{_data(path)}" alt="crop {side}">'
        for side, path in enumerate((pair.first, pair.second), 1)
    )
    choices = "".join(
        f'<label><input type="radio" name="same{number}" value="{value}"> {text}</label>'
        for value, text in (("yes", "one vehicle"), ("no", "two vehicles"))
    )
    return f"<figure>{images}<figcaption>{number + 1}. {choices}</figcaption></figure>"


def _data(path: Path) -> str:
    try:
        image = decode(path.read_bytes())
    except (ImageError, OSError) as error:
        raise DatasetError(f"{path}: {error}") from None
    image.thumbnail((SIDE, SIDE))
    small = io.BytesIO()
    image.convert("RGB").save(small, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"
