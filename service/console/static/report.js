/** An answer as a CSV table and as a page to print. */

import { button, el, icon } from "./dom.js";
import { counted, exactMoment, similarity } from "./format.js";
import { load } from "./images.js";
import { scoreBar } from "./card.js";

const COLUMNS = ["rank", "image_id", "vehicle_id", "camera_id", "captured_at", "similarity", "is_match",
  "first_stage_rank", "rerank_distance", "verdict"];

/** Matches as CSV (RFC 4180), the probe's name in each row. */
export function csvOf(answer, matches) {
  const rows = matches.map((match) => ["probe", ...COLUMNS].map((column) =>
    cell(column === "probe" ? answer.probe.file.name : match[column])).join(","));
  return `${["probe", ...COLUMNS].join(",")}\r\n${rows.map((row) => `${row}\r\n`).join("")}`;
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return String(value);
  // A table program would compute what begins like a formula.
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Let the browser save a file. */
export function saveFile(content, name, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Show an answer as a page to print, with all its images. */
export function showReport(answer) {
  const images = [];
  const rows = answer.cards.map(({ match }) => {
    const img = el("img", { alt: match.image_id });
    images.push(load(img, match.image_id));
    return el("li", {}, img, el("div", {},
      el("h3", {}, `${match.rank}. ${match.vehicle_id ?? "no vehicle named"}`),
      scoreBar(match.similarity, answer.threshold),
      el("dl", { class: "facts" }, [
        ["Image", match.image_id], ["Camera", match.camera_id ?? "–"], ["Time", exactMoment(match.captured_at)],
        ["First stage", `place ${match.first_stage_rank}`],
        ["Second stage", match.rerank_distance === null ? "–" : `distance ${match.rerank_distance.toFixed(3)}`],
        ...(match.verdict ? [["Verdict", match.verdict === "same" ? "same" : "not the same"]] : []),
      ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))))));
  });
  const print = button("Print", { class: "primary", disabled: true, on: { click: () => window.print() } }, icon("printer"));
  const close = button("Back to the answer", { on: { click: () => leave() } }, icon("left"));
  const { normalisation, reranked, gallery_size: size } = answer.answer;
  const report = el("article", { class: "report", "aria-label": "Report" },
    el("div", { class: "report-tools" }, close, print),
    el("header", {},
      el("img", { src: answer.probe.url, alt: "The probe" }),
      el("div", {}, el("h1", {}, "Vehicle search"),
        el("dl", { class: "facts" }, [
          ["Probe", answer.probe.file.name], ["Made", exactMoment(new Date().toISOString())],
          ["Searched", counted(size, "image")], ["Second stage", reranked ? "re-ranked" : "not run"],
          ["Threshold", answer.threshold === null ? "none" : similarity(answer.threshold)],
          ["Cameras", normalisation && normalisation.camera !== "off" ? "normalised" : "not normalised"],
        ].map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
        el("p", {}, "A similarity is no proof. Compare the images."))),
    el("ol", { class: "report-matches" }, rows));
  function leave() {
    report.remove();
    document.body.classList.remove("reporting");
  }
  document.body.append(report);
  document.body.classList.add("reporting");
  close.focus();
  Promise.all(images).then(() => { print.disabled = false; });
  return report;
}
