/** The search: a probe and how to search on the left, the answer beside it. */

import { announce, button, el, field } from "./dom.js";
import { on } from "./events.js";
import { askJson } from "./api.js";
import { can, takes } from "./service.js";
import { problemBox } from "./problem.js";
import { milliseconds } from "./format.js";
import { fileOf } from "./images.js";
import { imagesOf, probePicker, takeDrops, takePastes } from "./probe.js";
import { cameraChoices } from "./choices.js";
import { Answer } from "./answer.js";

export const name = "search";
export const title = "Search";
export const icon = "search";
export const needs = [["POST", "/query"]];

let form;
let picker;
let result;
let asking = null;
let probe = null;

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

let pending = null;
on("search-with", (imageId) => {
  if (picker) searchWith(imageId);
  else pending = imageId;
});

/** Search with an enrolled image as the probe. */
async function searchWith(imageId) {
  pending = null;
  try {
    const file = await fileOf(imageId);
    picker.show(file);
    await useProbe(file);
  } catch (error) {
    result.replaceChildren(problemBox(error));
  }
}

async function useProbe(file) {
  probe = { file };
  await search();
}

async function search() {
  if (probe === null) return;
  asking?.abort();
  const controller = new AbortController();
  asking = controller;
  result.setAttribute("aria-busy", "true");
  form.busy(true);
  const began = performance.now();
  try {
    const fields = { image: probe.file, ...form.fields() };
    const answer = await askJson("POST", "query", { fields, signal: controller.signal });
    if (asking !== controller) return;
    const spent = performance.now() - began;
    const shown = new Answer(probe, answer, { onSearchAgain: search, fields: form.fields() });
    result.replaceChildren(shown.root);
    announce(`${answer.matches.length} ${answer.matches.length === 1 ? "match" : "matches"} in ${milliseconds(spent)}.`);
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

function searchForm() {
  const topK = el("input", { type: "number", min: "1", max: "100", value: "12", name: "top_k", required: true });
  const rerank = el("input", { type: "checkbox", name: "rerank", checked: true, id: "rerank" });
  const camera = el("input", { type: "text", name: "camera_id", list: "camera-choices", autocomplete: "off",
    placeholder: "unknown" });
  const submit = el("button", { type: "submit", class: "primary wide" }, "Search");
  const root = el("form", { class: "search-form" },
    el("div", { class: "field-row" }, field("Matches", topK),
      el("div", { class: "field" }, el("span", { class: "label" }, "Second stage"),
        el("label", { class: "switch" }, rerank, " re-rank"))),
    takes("POST", "/query", "camera_id") ? field("Camera of the probe", camera) : null,
    cameraChoices("camera-choices"),
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
    fields: () => ({ top_k: topK.value, rerank: String(rerank.checked), camera_id: camera.value.trim() }),
    busy: (is) => { submit.textContent = is ? "Searching…" : "Search"; },
  };
}

function emptyWords() {
  return el("div", { class: "empty" },
    el("h2", {}, "Where else was this vehicle?"),
    el("p", {}, "Drop an image of a vehicle anywhere on this page, paste one with Ctrl V, or choose a file. "
      + "The most similar enrolled images are shown here, the best first."),
    can("GET", "/gallery") ? el("p", {}, el("a", { href: "#gallery" }, "Look at the gallery"), " to search with an "
      + "image that is enrolled.") : null);
}
