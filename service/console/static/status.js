/** The status: readiness, workers, queue, latency, the bundle's accuracy, gallery, disk, last errors. */

import { button, el } from "./dom.js";
import { on } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";
import { age, bytes, count, counted, exactMoment, milliseconds, similarity } from "./format.js";
import { problemBox } from "./problem.js";

export const name = "status";
export const title = "Status";
export const icon = "clock";
export const available = () => can("GET", "/status");

const EVERY_MS = 5000;
const STAGES = { decode: "decoding", queue: "waiting for a batch", embed: "embedding", search: "first stage",
  rerank: "second stage", explain: "explaining", detect: "finding vehicles", total: "whole request" };
let place = null;
let timer = 0;

/** Build the view, and keep it up to date while it is seen. */
export function start(section) {
  place = el("div", {});
  section.append(el("h1", { class: "visually-hidden" }, "Status"), place);
  show();
}

/** The view is seen again. */
export function resume() {
  show();
}

/** It is not seen any more. */
export function pause() {
  clearTimeout(timer);
}

on("recovered", () => { if (place && !place.closest("section").hidden) show(); });

async function show() {
  clearTimeout(timer);
  try {
    const status = await askJson("GET", "status");
    const focused = document.activeElement?.id;
    place.replaceChildren(el("div", { class: "status" }, readiness(status), status.queue ? queue(status.queue) : null,
      status.gallery ? gallery(status.gallery) : null, status.bundle ? bundle(status) : null,
      latency(status.stages), errors(status.errors)));
    if (focused) document.getElementById(focused)?.focus();
    timer = setTimeout(show, EVERY_MS);
  } catch (error) {
    place.replaceChildren(problemBox(error, button("Try again", { on: { click: show } })));
  }
  place.classList.add("loaded");
}

function section(heading, ...content) {
  return el("section", { "aria-label": heading }, el("h2", {}, heading), content);
}

function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined)
    .map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
}

function meter(share, label) {
  return el("div", { class: `meter ${share > 0.9 ? "full" : ""}`, role: "img", "aria-label": label },
    el("div", { style: { width: `${Math.min(100, 100 * share)}%` } }));
}

function readiness({ ready, reason, version }) {
  if (!ready) return section("Not ready", el("p", { class: "problem" }, reason), facts([["Version", version]]));
  return section("Ready", facts([
    ["Runtime", ready.runtime], ["Second stage", ready.reranker ? "yes" : "none in this bundle"],
    ["Threshold", ready.match_threshold === null ? "none for what is compared now; see lka-reid calibrate"
      : similarity(ready.match_threshold)],
    ["Last forward pass", `${age(ready.forward_age_s)} ago`], ["Version", version]]));
}

function queue({ depth, limit, oldest_s: oldest, workers, is_up: isUp, dead_letters: dead }) {
  return section("Queue and workers", facts([
    ["Workers", workers === 0 ? el("strong", {}, "none: start lka-reid worker") : count(workers)],
    ["Waiting", [`${count(depth)} of ${count(limit)}`, meter(depth / limit, `${depth} of ${limit} places taken`)]],
    ["Oldest", depth ? age(oldest) : null],
    ["Redis", isUp ? null : el("strong", {}, "does not answer: look at its log and the network between")],
    ["Dead letters", dead ? `${count(dead)}: images that ended workers; see docs/queue.md` : "none"]]));
}

function gallery(found) {
  const used = 1 - found.disk_free_bytes / found.disk_total_bytes;
  return section("Gallery", found.fault ? el("p", { class: "problem" }, found.fault) : null, facts([
    ["Enrolled", counted(found.images, "image")],
    ["Snapshot", found.snapshot_age_s === null ? "none yet"
      : `${age(found.snapshot_age_s)} old, ${counted(found.changes_since_snapshot, "change")} since`],
    ["Disk", [`${bytes(found.disk_free_bytes)} free of ${bytes(found.disk_total_bytes)}`,
      meter(used, `${Math.round(100 * used)} % of the disk is used`)]]]));
}

function bundle({ bundle: { name: its, fingerprint, measured_on: measuredOn, accuracy } }) {
  return section("Bundle", facts([["Name", its], ["Fingerprint", el("code", {}, fingerprint.slice(0, 16))],
    ["Measured on", measuredOn ?? "nothing: its accuracy is not known"]]),
  accuracy.length ? table("Accuracy", ["", "Task", "Queries#", "R1#", "mAP#"], accuracy.map((row) =>
    [row.name, row.task, count(row.queries), row.r1 === null ? "–" : `${row.r1.toFixed(1)} %`, `${row.map.toFixed(1)} %`])) : null);
}

function latency(stages) {
  const heading = "Latency by stage";
  if (stages.length === 0) return section(heading, el("p", { class: "soft" }, "No request yet."));
  return section(heading, table(heading, ["Stage", "Requests#", "Mean#", "Median#", "95 %#"], stages.map((stage) =>
    [STAGES[stage.stage] ?? stage.stage, count(stage.count), milliseconds(stage.mean_ms), milliseconds(stage.median_ms),
      milliseconds(stage.p95_ms)])),
  el("p", { class: "hint" }, "Since this process started; median and 95 % are estimated from a histogram."));
}

function errors(found) {
  const made = section("Last errors", found.length === 0 ? el("p", { class: "soft" }, "None since this process started.")
    : table("Last errors", ["Error", "Route", "Count#", "Last", "What to do", "Request"], found.map((one) =>
      [`${one.status} ${one.title}`, el("code", {}, one.route), count(one.count), exactMoment(one.last), one.what_to_do,
        el("code", {}, one.request_id)])));
  made.classList.add("wide");
  return made;
}

/** A table whose columns of numbers end with #. */
function table(label, columns, rows) {
  const number = (at) => (columns[at].endsWith("#") ? "number" : null);
  return el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": `${label}: table`, id: `table-${label.replaceAll(" ", "-")}` },
    el("table", {}, el("thead", {}, el("tr", {}, columns.map((column, at) =>
      (column === "" ? el("td", {}) : el("th", { scope: "col", class: number(at) }, column.replace("#", "")))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, at) =>
      (at === 0 ? el("th", { scope: "row" }, cell) : el("td", { class: number(at) }, cell))))))));
}
