/** The probe: an image that is dropped, pasted or chosen, and how it is shown. */

import { announce, el } from "./dom.js";
import { boxPicker } from "./boxes.js";

/** Files that a drop or a paste holds. */
export function imagesOf(transfer) {
  return [...(transfer?.files || [])];
}

/**
 * A place that takes one image file by drop, paste, click or key.
 *
 * Calls `onFile` with each one; `show(file)` shows one that came another way, `showFrame` one with boxes, and
 * `note` says something of it and `offer` shows what can be done with it until another comes.
 */
export function probePicker(onFile) {
  const input = el("input", { type: "file", accept: "image/*,.heic,.heif,.avif", id: "probe-file",
    class: "visually-hidden", "aria-label": "Choose a probe image" });
  const words = el("span", { class: "drop-words" }, el("strong", {}, "Drop an image here"),
    el("span", {}, "paste one, or ", el("u", {}, "choose a file")));
  const place = el("label", { class: "drop", for: "probe-file" }, words);
  const frame = el("div", { class: "probe-frame", hidden: true });
  const name = el("p", { class: "probe-name", id: "probe-name" });
  const noted = el("p", { class: "hint" });
  const tools = el("div", { class: "probe-tools" });
  let url = null;

  function show(file) {
    if (url !== null) URL.revokeObjectURL(url);
    url = URL.createObjectURL(file);
    const preview = el("img", { class: "probe-image", alt: "The probe", src: url });
    preview.addEventListener("error", () => {
      preview.replaceWith(el("p", { class: "hint" }, "This browser has no preview of it."));
    });
    frame.replaceChildren(preview);
    frame.hidden = false;
    place.classList.add("filled");
    name.textContent = file.name;
    note("");
    offer();
  }

  /** Say something of the file, below its name. */
  function note(words) {
    noted.textContent = words;
  }

  /** Show these tools with the probe, in place of those before. */
  function offer(...buttons) {
    tools.replaceChildren(...buttons);
  }

  function showFrame(found, onBox) {
    const boxes = boxPicker(url, found, onBox);
    frame.replaceChildren(boxes.root);
    return boxes;
  }

  function take(files) {
    if (files.length === 0) return;
    if (files.length > 1) announce(`${files.length} files came; the first is the probe.`);
    show(files[0]);
    onFile(files[0]);
  }
  input.addEventListener("change", () => { take([...input.files]); input.value = ""; });

  const root = el("div", { class: "probe" }, input, frame, name, noted, tools, place);
  return { root, show, showFrame, note, offer, take, url: () => url };
}

/** Let a whole area take files that are dropped on it, and show that it would. */
export function takeDrops(area, take) {
  let inside = 0;
  area.addEventListener("dragenter", (event) => { event.preventDefault(); inside += 1; area.classList.add("over"); });
  area.addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    if (inside === 0) area.classList.remove("over");
  });
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    area.classList.remove("over");
    take(event.dataTransfer);
  });
}

/** Take images that are pasted while the area is the view that is seen. */
export function takePastes(area, take) {
  document.addEventListener("paste", (event) => {
    const files = imagesOf(event.clipboardData);
    if (!area.hidden && files.length && !event.target.matches?.("input, textarea")) {
      event.preventDefault();
      take(files);
    }
  });
}
