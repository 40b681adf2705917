/** The search: a probe and how to search on the left, the answer beside it. */

import { announce, button, el, field, icon as drawing } from "./dom.js";
import { on } from "./events.js";
import { askJson, Refused } from "./api.js";
import { can, takes } from "./service.js";
import { problemBox } from "./problem.js";
import { counted, milliseconds } from "./format.js";
import { fileOf } from "./images.js";
import { imagesOf, probePicker, takeDrops, takePastes } from "./probe.js";
import { boxPicker, cutOut, isCrop } from "./boxes.js";
import { cameraChoices } from "./choices.js";
import { filterForm } from "./filters.js";
import { Answer } from "./answer.js";
import { canWatch, watchFor, watchForProbe } from "./watching.js";

export const name = "search";
export const title = "Search";
export const icon = "search";
export const available = () => can("POST", "/query");

let form;
let picker;
let result;
let asking = null;
let probe = null;
let pending = null;
let shownUrl = null;

/** Build the view. */
export function start(section) {
  picker = probePicker((file) => useProbe(file));
  form = searchForm();
  result = el("div", { class: "result", id: "result" }, emptyWords());
  section.append(el("h1", { class: "visually-hidden" }, "Search"),
    el("aside", { class: "side", "aria-label": "Probe and search" }, picker.root, form.root), result);
  takeDrops(section, (transfer) => picker.take(imagesOf(transfer)));
  takePastes(section, (files) => picker.take(files));
  if (pending) searchWith(pending);
}

on("collection-changed", () => { if (probe !== null) search(); });

on("search-with", (imageId) => {
  if (picker) searchWith(imageId);
  else pending = imageId;
});

/** Search with an enrolled image as the probe: it is a crop already. */
async function searchWith(imageId) {
  pending = null;
  try {
    const file = await fileOf(imageId);
    picker.show(file);
    probe = { file, fields: {}, boxes: null, imageId };
    await search();
  } catch (error) {
    result.replaceChildren(problemBox(error));
  }
}

/** Look for vehicles in a file; search with a crop or the only vehicle at once, and ask which of several. */
async function useProbe(file) {
  const own = { file, fields: {}, boxes: null };
  probe = own;
  if (!can("POST", "/detect") || !takes("POST", "/query", "box")) return search();
  result.setAttribute("aria-busy", "true");
  let found;
  try {
    found = await askJson("POST", "detect", { fields: { image: file } });
  } catch (error) {
    if (probe !== own) return undefined;
    result.removeAttribute("aria-busy");
    // Without a detector every file is taken as it is.
    if (error instanceof Refused && error.status === 501) return search();
    result.replaceChildren(problemBox(error, button("Search again", { class: "primary", on: { click: () => useProbe(file) } })));
    return undefined;
  }
  if (probe !== own) return undefined;
  result.removeAttribute("aria-busy");
  own.boxes = picker.showFrame(found, (box) => searchBox(box));
  if (found.vehicles.length === 0) {
    picker.note("No vehicle was found in it, so that all of it is searched with. Draw a box around one.");
    announce("No vehicle was found.");
  }
  if (found.vehicles.length === 0 || isCrop(found)) return search();
  if (found.vehicles.length === 1) return searchBox(found.vehicles[0].box);
  return askWhich(found);
}

function searchBox(box) {
  probe.fields = { box: box.join(",") };
  probe.boxes?.mark(box);
  return search();
}

function askWhich(found) {
  const chooser = boxPicker(picker.url(), found, (box) => searchBox(box));
  result.replaceChildren(el("section", { class: "which", "aria-labelledby": "which-heading" },
    el("h2", { id: "which-heading" }, `${counted(found.vehicles.length, "vehicle")}: which one?`),
    el("p", { class: "soft" }, "Click a box, or draw one around the vehicle."),
    chooser.root,
    el("div", { class: "actions" }, button("Search with the whole image", { on: { click: () => search() } }))));
  announce(`${counted(found.vehicles.length, "vehicle")} found. Choose one.`);
}

async function search() {
  if (probe === null) return;
  asking?.abort();
  const controller = new AbortController();
  asking = controller;
  result.setAttribute("aria-busy", "true");
  form.busy(true);
  const began = performance.now();
  const own = { file: probe.file, fields: probe.fields, imageId: probe.imageId };
  try {
    const chosen = form.fields();
    const answer = await askJson("POST", "query",
      { fields: { image: own.file, ...chosen, ...own.fields }, signal: controller.signal });
    own.url = answer.crop ? await cutOut(own.file, answer.crop) : URL.createObjectURL(own.file);
    if (asking !== controller) return;
    const shown = new Answer(own, answer, { onSearchAgain: search, fields: chosen });
    result.replaceChildren(shown.root);
    offerWatch(own, chosen.camera_id);
    // The answer before this one is gone, and so is its probe.
    if (shownUrl !== null) URL.revokeObjectURL(shownUrl);
    shownUrl = own.url;
    const words = `${answer.matches.length} ${answer.matches.length === 1 ? "match" : "matches"}`;
    announce(`${words} in ${milliseconds(performance.now() - began)}.`);
  } catch (error) {
    if (controller.signal.aborted) return;
    result.replaceChildren(problemBox(error, button("Search again", { class: "primary", on: { click: search } })));
  } finally {
    if (asking === controller) {
      asking = null;
      result.removeAttribute("aria-busy");
      form.busy(false);
    }
  }
}

/** Let the vehicle that was searched with be watched for; all that an enrolled image shows by its id. */
function offerWatch({ file, fields, imageId, url }, camera) {
  if (!canWatch()) return;
  const watch = imageId === undefined || fields.box ? () => watchForProbe(file, { ...fields, camera_id: camera }, url)
    : () => watchFor(imageId);
  picker.offer(button("Watch for this vehicle", { on: { click: watch } }, drawing("eye")));
}

function searchForm() {
  const topK = el("input", { type: "number", min: "1", max: "100", value: "12", name: "top_k", required: true });
  const rerank = el("input", { type: "checkbox", name: "rerank", checked: true, id: "rerank" });
  const camera = el("input", { type: "text", name: "camera_id", list: "camera-choices", autocomplete: "off",
    placeholder: "unknown" });
  const box = el("input", { type: "text", name: "box", autocomplete: "off", placeholder: "left, top, width, height",
    inputmode: "numeric", on: { change: () => {
      if (probe === null) return;
      probe.fields = box.value.trim() ? { box: box.value.trim() } : {};
      search();
    } } });
  const filters = filterForm("POST", "/query", () => search());
  const submit = el("button", { type: "submit", class: "primary wide" }, "Search");
  const root = el("form", { class: "search-form" },
    el("div", { class: "field-row" }, field("Matches", topK),
      el("div", { class: "field" }, el("span", { class: "label" }, "Second stage"),
        el("label", { class: "switch" }, rerank, " re-rank"))),
    takes("POST", "/query", "camera_id") ? field("Camera of the probe", camera) : null,
    cameraChoices("camera-choices"),
    filters.root,
    takes("POST", "/query", "box") ? el("details", { class: "filters" }, el("summary", {}, "Box by numbers"),
      el("div", { class: "filter-fields" }, field("Box in px", box, "of the upright image; empty for all of it"))) : null,
    submit);
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    if (probe === null) {
      announce("Choose a probe first.");
      document.getElementById("probe-file").focus();
    } else {
      search();
    }
  });
  rerank.addEventListener("change", () => search());
  return {
    root,
    fields: () => ({ top_k: topK.value, rerank: String(rerank.checked), camera_id: camera.value.trim(),
      ...filters.values() }),
    busy: (is) => { submit.textContent = is ? "Searching…" : "Search"; },
  };
}

function emptyWords() {
  return el("div", { class: "empty" },
    el("h2", {}, "Where else was this vehicle?"),
    el("p", {}, "Drop an image of a vehicle anywhere on this page, paste one with Ctrl V, or choose a file. "
      + "The most similar enrolled images are shown here, the best first."),
    can("GET", "/gallery") ? el("p", {}, "Or search with an image of the ", el("a", { href: "#gallery" }, "gallery"), ".")
      : null);
}
