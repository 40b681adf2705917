/** The cameras: how many images each has, and what normalisation does to them. */

import { button, el } from "./dom.js";
import { on } from "./events.js";
import { askJson, pathOf } from "./api.js";
import { can } from "./service.js";
import { count, counted, exactMoment } from "./format.js";
import { problemBox } from "./problem.js";

export const name = "cameras";
export const title = "Cameras";
export const icon = "table";
export const available = () => can("GET", "/cameras");

const USES = { known: "its own statistics", global: "half the mean of all images", off: "nothing" };
let place = null;

/** Build the view. */
export function start(section) {
  place = el("div", {});
  section.append(el("h1", { class: "visually-hidden" }, "Cameras"), place);
  show();
}

/** The view is seen again. */
export function resume() {
  show();
}

on("gallery-changed", () => { if (place) show(); });

async function show() {
  try {
    const { cameras, normalisation } = await askJson("GET", "cameras");
    place.replaceChildren(
      el("header", { class: "page-head" }, el("h2", {}, "Cameras"), el("p", { class: "soft" }, inForce(normalisation))),
      cameras.length ? el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Cameras" },
        el("table", {}, el("thead", {}, el("tr", {},
          el("th", { scope: "col" }, "Camera"),
          ...[["Enrolled", "images in the gallery"], ["Calibrated", "images that it was calibrated with"]].map(
            ([words, tip]) => el("th", { scope: "col", class: "number", title: tip }, words)),
          el("th", { scope: "col" }, "Normalised by"),
          ...[["Own weight", "how far its mean is its own, 0 to 1"], ["Distance", "of its mean from other images, in deviations"],
            ["Drift", "how far a new version would move it, of a descriptor's length"]].map(
            ([words, tip]) => el("th", { scope: "col", class: "number", title: tip }, words)),
          el("th", { scope: "col" }, "Effect"))),
        el("tbody", {}, cameras.map(row)))) : el("div", { class: "empty" }, el("h2", {}, "No camera has images"),
        el("p", {}, "Name the camera when images are enrolled.")));
  } catch (error) {
    place.replaceChildren(problemBox(error, button("Try again", { on: { click: show } })));
  }
  place.classList.add("loaded");
}

function inForce(normalisation) {
  if (!normalisation.is_on) return `Descriptors are compared as they are (setting: ${normalisation.mode}).`;
  return `Each camera's mean and deviation are taken out of descriptors: version ${normalisation.version} of `
    + `${exactMoment(normalisation.made_at)}, drift ${normalisation.drift.toFixed(3)} of ${normalisation.drift_limit.toFixed(3)}`
    + `${normalisation.is_renewing ? ", a new version is being made" : ""}.`;
}

function row(camera) {
  const number = (value) => el("td", { class: "number" }, value === null ? "–" : value);
  const effect = el("td", {}, button("Measure", { "aria-label": `Measure the effect on ${camera.camera_id}`,
    on: { click: () => measure(effect, camera.camera_id) } }));
  return el("tr", {},
    el("th", { scope: "row" }, camera.camera_id), number(count(camera.enrolled)), number(count(camera.calibrated)),
    el("td", {}, USES[camera.use] ?? camera.use), number(camera.weight.toFixed(2)),
    number(camera.distance === null ? null : camera.distance.toFixed(2)),
    number(camera.drift === null ? null : camera.drift.toFixed(3)), effect);
}

async function measure(cell, cameraId) {
  cell.replaceChildren(el("span", { class: "waiting" }, "measuring"));
  try {
    const { effect } = await askJson("GET", pathOf("cameras", cameraId));
    const percent = (share) => `${(100 * share).toFixed(0)} %`;
    cell.replaceChildren(effect === null ? "too few images" : el("span", {
      title: `of the ten images nearest to one of this camera, those of this camera; measured on ${counted(effect.images, "image")}` },
    `own neighbours ${percent(effect.before)} → ${percent(effect.after)}, without influence ${percent(effect.expected)}`));
  } catch (error) {
    cell.replaceChildren(error.message);
  }
}
