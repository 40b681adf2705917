/** The probe and a match side by side, and why they are near or far. */

import { button, dialog, el, icon } from "./dom.js";
import { ask, Refused } from "./api.js";
import { can } from "./service.js";
import { exactMoment, similarity } from "./format.js";
import { load } from "./images.js";
import { inWords } from "./problem.js";
import { scoreBar } from "./card.js";
import { canDecide, verdictTools } from "./verdicts.js";

/** Open the pair of the probe and the match at this place of an answer. */
export function openPair(answer, at) {
  const body = el("div", { class: "pair", tabindex: "-1" });
  const urls = [];
  let asking = null;
  const shown = dialog("Side by side", body, { className: "wide", onClose: () => {
    asking?.abort();
    urls.forEach((url) => URL.revokeObjectURL(url));
    const face = answer.faces().find((one) => one.dataset.imageId === answer.cards[at].match.image_id);
    if (face) { answer.roam(face); face.focus(); }
  } });

  const judging = el("span", { class: "judging" });

  function judged(error) {
    const card = answer.cards[at];
    judging.replaceChildren(...verdictTools(
      { verdict: card.verdict, judge: (verdict) => card.judge(verdict, judged) }, { words: true }));
    if (error) judging.append(el("span", { class: "problem" }, inWords(error)));
    keepFocus();
  }

  /** What had the focus may have been replaced; keys go to the dialog all the same. */
  function keepFocus() {
    if (!shown.contains(document.activeElement)) body.focus();
  }

  function step(by) {
    at = Math.min(answer.cards.length - 1, Math.max(0, at + by));
    show();
  }

  function show() {
    asking?.abort();
    asking = new AbortController();
    const card = answer.cards[at];
    const { match } = card;
    const candidate = el("img", { alt: `Enrolled image ${match.image_id}` });
    load(candidate, match.image_id);
    const why = el("div", { class: "why" });
    if (canDecide()) judged(null);
    body.replaceChildren(
      el("div", { class: "pair-images" },
        el("figure", {}, el("img", { src: answer.probe.url, alt: "The probe" }),
          el("figcaption", {}, el("strong", {}, "Probe"), " ", answer.probe.file.name)),
        el("figure", {}, candidate,
          el("figcaption", {}, el("strong", {}, `Match ${match.rank}`), " ", match.image_id))),
      el("div", { class: `pair-facts ${match.is_match ? "above" : ""}` },
        scoreBar(match.similarity, answer.threshold),
        el("dl", { class: "facts" }, facts(match, answer).map(([name, value]) =>
          el("div", {}, el("dt", {}, name), el("dd", {}, value))))),
      el("div", { class: "pair-tools" },
        button("Before", { disabled: at === 0, on: { click: () => step(-1) } }, icon("left")),
        button("Next", { disabled: at === answer.cards.length - 1, on: { click: () => step(1) } }, icon("right")),
        el("span", { class: "spring" }),
        judging,
        button("Search with this one", { on: { click: () => { shown.close(); answer.searchWith(match); } } },
          icon("search"))),
      can("POST", "/explain") ? el("section", { class: "why-section", "aria-label": "Why" }, el("h3", {}, "Why"), why)
        : null);
    keepFocus();
    if (can("POST", "/explain")) explain(why, answer, match, asking.signal, urls);
  }

  shown.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      step(event.key === "ArrowLeft" ? -1 : 1);
      event.preventDefault();
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "q") shown.close();
    if (answer.cards[at].act(key, judged)) event.preventDefault();
  });
  show();
}

function facts(match, answer) {
  const threshold = answer.threshold;
  return [
    ["Similarity", threshold === null ? similarity(match.similarity)
      : `${similarity(match.similarity)}, ${match.is_match ? "above" : "below"} the threshold ${similarity(threshold)}`],
    ["Second stage", match.rerank_distance === null ? "did not look"
      : `distance ${match.rerank_distance.toFixed(3)}, ${match.first_stage_rank === match.rank ? "same place"
        : `from place ${match.first_stage_rank} to ${match.rank}`}`],
    ["Vehicle", [match.vehicle_id ?? "–", match.vehicle_type, match.view].filter(Boolean).join(", ")],
    ["Camera", match.camera_id ?? "–"],
    ["Time", exactMoment(match.captured_at)],
  ];
}

async function explain(place, answer, match, signal, urls) {
  place.replaceChildren(el("p", { class: "waiting" }, "Comparing part by part…"));
  try {
    const fields = { image: answer.probe.file, candidate_id: match.image_id, camera_id: answer.fields.camera_id,
      ...answer.probe.fields };
    const response = await ask("POST", "explain", { fields, accept: "image/png", signal });
    const url = URL.createObjectURL(await response.blob());
    urls.push(url);
    place.replaceChildren(el("img", { src: url, class: "why-figure",
      alt: "Which parts of the probe were compared with which of the match, how far each is, and where the branches respond" }));
  } catch (error) {
    if (signal.aborted) return;
    place.replaceChildren(el("p", { class: error instanceof Refused && error.status === 501 ? "hint" : "problem" },
      inWords(error)));
  }
}
