/** Vehicles of a frame as boxes to click, and a box drawn by hand. */

import { el } from "./dom.js";

const SMALLEST = 0.01;

/**
 * A frame with its vehicles. `onBox` is called with [left, top, width, height] in px of the upright image.
 *
 * Each box is a button, so that it is reached by the Tab key; a box of one's own is drawn by the pointer.
 */
export function boxPicker(url, found, onBox) {
  const layer = el("div", { class: "box-layer" });
  const drawn = el("div", { class: "box drawn", hidden: true });
  const boxes = found.vehicles.map((vehicle, at) => {
    const words = `${vehicle.type} ${at + 1} of ${found.vehicles.length}, ${Math.round(100 * vehicle.score)} % sure`;
    const box = el("button", { type: "button", class: "box", "aria-label": `Search with ${words}`, title: words,
      on: { click: () => choose(box, vehicle.box) } }, el("span", { class: "box-label" }, vehicle.type));
    place(box, vehicle.box);
    return box;
  });
  // The largest lies lowest, so that small ones before it can be clicked.
  layer.append(...[...boxes].sort((a, b) => area(b) - area(a)), drawn);
  const image = el("img", { src: url, alt: "The probe's frame", draggable: "false" });
  const root = el("div", { class: "boxes", style: { "--shape": `${found.width} / ${found.height}`,
    "--ratio": String(found.width / found.height) } }, image, layer);

  function area(box) {
    return Number(box.dataset.area);
  }

  function place(box, [left, top, width, height]) {
    box.dataset.area = String(width * height);
    box.style.setProperty("left", `${(100 * left) / found.width}%`);
    box.style.setProperty("top", `${(100 * top) / found.height}%`);
    box.style.setProperty("width", `${(100 * width) / found.width}%`);
    box.style.setProperty("height", `${(100 * height) / found.height}%`);
  }

  function choose(box, numbers) {
    mark(numbers);
    onBox(numbers);
  }

  /** Show which box is searched with. */
  function mark(numbers) {
    const same = numbers === null ? -1 : found.vehicles.findIndex((vehicle) => String(vehicle.box) === String(numbers));
    boxes.forEach((box, at) => box.setAttribute("aria-pressed", String(at === same)));
    drawn.hidden = numbers === null || same >= 0;
    if (!drawn.hidden) place(drawn, numbers);
  }

  let from = null;
  const at = (event) => {
    const frame = layer.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height]
      .map((share) => Math.min(1, Math.max(0, share)));
  };
  const between = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)];
  const inPixels = ([x, y, w, h]) => [x * found.width, y * found.height, w * found.width, h * found.height].map(Math.round);
  let moved = false;
  layer.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = at(event);
    moved = false;
  });
  layer.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const shape = between(from, at(event));
    if (!moved && Math.max(shape[2], shape[3]) < SMALLEST) return;
    if (!moved) layer.setPointerCapture(event.pointerId);
    moved = true;
    drawn.hidden = false;
    place(drawn, inPixels(shape));
  });
  layer.addEventListener("pointerup", (event) => {
    const shape = from && between(from, at(event));
    from = null;
    if (moved && shape[2] > SMALLEST && shape[3] > SMALLEST) choose(drawn, inPixels(shape));
  });
  layer.addEventListener("pointercancel", () => { from = null; });
  // The click that ends a drawing is none on the box below it.
  layer.addEventListener("click", (event) => { if (moved) { event.stopPropagation(); moved = false; } }, true);
  return { root, mark };
}

/** Whether a found image is a crop of one vehicle rather than a frame. */
export function isCrop(found) {
  if (found.vehicles.length !== 1) return false;
  const [, , width, height] = found.vehicles[0].box;
  return width * height >= 0.4 * found.width * found.height;
}

/** What a region of an image file shows, as a URL of its own; of the whole file where that fails. */
export async function cutOut(file, region) {
  try {
    const bitmap = await createImageBitmap(file, ...region);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    return URL.createObjectURL(await canvas.convertToBlob());
  } catch {
    return URL.createObjectURL(file);
  }
}
