/** One match: its image, how near it is, and what is known of it. */

import { el, iconButton } from "./dom.js";
import { exactMoment, moment, similarity } from "./format.js";
import { showEnrolled } from "./images.js";
import { canDecide, judge, verdictTools } from "./verdicts.js";
import { canWatch, watchFor } from "./watching.js";

/** A match in the grid, the groups, and behind the time line. */
export class MatchCard {
  constructor(match, answer) {
    this.match = match;
    this.answer = answer;
    this.verdict = match.verdict ?? null;
    this.box = el("input", { type: "checkbox", class: "pick", "aria-label": `Select ${match.image_id}`,
      on: { change: () => this.setSelected(this.box.checked) } });
    this.face = el("button", { type: "button", class: "face", "data-image-id": match.image_id,
      "aria-label": spoken(match), title: match.image_id, on: { click: () => answer.open(this) } },
      showEnrolled(el("img", { alt: "" }), match.image_id),
      el("span", { class: "rank", "aria-hidden": "true" }, String(match.rank)),
      moved(match));
    this.root = el("li", { class: `card ${match.is_match ? "above" : ""}` },
      this.face, this.box,
      scoreBar(match.similarity, answer.threshold),
      el("dl", { class: "facts" },
        fact("Vehicle", match.vehicle_id ?? match.vehicle_type ?? "–", "vehicle",
          [match.vehicle_id, match.vehicle_type, match.view].filter(Boolean).join(", ")),
        fact("Camera", match.camera_id ?? "–", "camera"),
        fact("Time", moment(match.captured_at), "time", exactMoment(match.captured_at))),
      this.actions = el("div", { class: "card-actions" }));
    this.show();
  }

  /** Show the verdict, and what can be done with the match. */
  show(error = null) {
    this.match.verdict = this.verdict;
    this.root.dataset.verdict = this.verdict ?? "";
    const focused = this.actions.contains(document.activeElement);
    this.actions.replaceChildren(
      ...(canDecide() ? verdictTools(this) : []),
      el("span", { class: "spring" }),
      ...(canWatch() ? [iconButton("eye", "Watch for this vehicle", { class: "quiet",
        on: { click: () => watchFor(this.match.image_id) } })] : []),
      iconButton("search", "Search with this one", { class: "quiet",
        on: { click: () => this.answer.searchWith(this.match) } }),
      ...(error ? [el("p", { class: "problem", role: "alert" }, error.message)] : []));
    if (focused) this.actions.querySelector("button").focus();
  }

  /** Say whether the match shows the probe's vehicle; null takes it back. */
  async judge(verdict, onDone = () => {}) {
    if (verdict === this.verdict) return;
    const error = await judge(this, verdict);
    this.show(error);
    onDone(error);
  }

  /** What a key on the match does; whether it does anything. `onDone` is called after a verdict. */
  act(key, onDone) {
    const acts = { q: () => this.answer.searchWith(this.match), x: () => this.setSelected(!this.box.checked) };
    if (canDecide()) {
      acts.s = () => this.judge("same", onDone);
      acts.n = () => this.judge("different", onDone);
      acts.u = () => this.judge(null, onDone);
    }
    if (!(key in acts)) return false;
    acts[key]();
    return true;
  }

  setSelected(wanted) {
    this.box.checked = wanted;
    this.root.classList.toggle("selected", wanted);
    this.answer.select(this, wanted);
  }
}

/** A similarity as a bar, with the threshold marked where the bundle has one. */
export function scoreBar(value, threshold) {
  const percent = (number) => `${100 * Math.min(1, Math.max(0, number))}%`;
  return el("div", { class: "score" },
    el("div", { class: "track", "aria-hidden": "true" },
      el("div", { class: "fill", style: { width: percent(value) } }),
      threshold === null ? null : el("div", { class: "threshold", style: { left: percent(threshold) },
        title: `threshold ${similarity(threshold)}` })),
    el("span", { class: "number" }, similarity(value)));
}

function moved(match) {
  const steps = match.first_stage_rank - match.rank;
  if (match.rerank_distance === null || steps === 0) return null;
  return el("span", { class: `moved ${steps > 0 ? "up" : "down"}`, "aria-hidden": "true",
    title: `place ${match.first_stage_rank} in the first stage` }, `${steps > 0 ? "▲" : "▼"}${Math.abs(steps)}`);
}

function fact(name, value, className, title = null) {
  return el("div", {}, el("dt", {}, name), el("dd", { class: className, title: title ?? value }, value));
}

function spoken(match) {
  return [
    `Match ${match.rank}`, `similarity ${similarity(match.similarity)}`,
    match.is_match === null ? null : match.is_match ? "above the threshold" : "below the threshold",
    match.vehicle_id ? `vehicle ${match.vehicle_id}` : null,
    match.camera_id ? `camera ${match.camera_id}` : null,
    match.captured_at ? moment(match.captured_at) : null,
    match.first_stage_rank === match.rank ? null : `place ${match.first_stage_rank} in the first stage`,
  ].filter(Boolean).join(", ");
}
