/** The matches along time, a line for each camera. */

import { el } from "./dom.js";
import { exactMoment, moment, similarity } from "./format.js";
import { showEnrolled } from "./images.js";

const TICKS = 5;

/** The time line of an answer; matches without a time stand below it. */
export function timeLine(answer) {
  const timed = answer.cards.filter((card) => card.match.captured_at);
  const untimed = answer.cards.filter((card) => !card.match.captured_at);
  const parts = [];
  if (timed.length) parts.push(lines(timed, answer));
  if (untimed.length) {
    parts.push(el("section", { class: "group" },
      el("h3", {}, timed.length ? "Without a time" : "None of these images has a time"),
      el("ol", { class: "cards" }, untimed.map((card) => card.root))));
  }
  return el("div", { class: "timeline" }, parts);
}

function lines(cards, answer) {
  const times = cards.map((card) => Date.parse(card.match.captured_at));
  const first = Math.min(...times);
  const span = Math.max(Math.max(...times) - first, 60_000);
  const place = (time) => `${6 + 88 * ((time - first) / span)}%`;
  const cameras = new Map();
  for (const card of cards) {
    const camera = card.match.camera_id ?? "no camera named";
    if (!cameras.has(camera)) cameras.set(camera, []);
    cameras.get(camera).push(card);
  }
  const ticks = Array.from({ length: TICKS }, (_, at) => first + (span * at) / (TICKS - 1));
  return el("div", { class: "lanes" },
    [...cameras].sort(([a], [b]) => a.localeCompare(b)).map(([camera, ofOne]) => el("section", { class: "lane" },
      el("h3", { title: camera }, camera),
      el("ol", { class: "rail", "aria-label": `Matches of ${camera}, by time` },
        ofOne.sort((a, b) => Date.parse(a.match.captured_at) - Date.parse(b.match.captured_at)).map((card) => {
          const { match } = card;
          return el("li", { class: match.is_match ? "sighting above" : "sighting",
            style: { left: place(Date.parse(match.captured_at)) } },
          el("button", { type: "button", class: "face", "data-image-id": match.image_id,
            "aria-label": `${exactMoment(match.captured_at)}, match ${match.rank}, similarity ${similarity(match.similarity)}`,
            title: `${exactMoment(match.captured_at)}\n${match.vehicle_id ?? ""}\n${similarity(match.similarity)}`,
            on: { click: () => answer.open(card) } },
          showEnrolled(el("img", { alt: "" }), match.image_id),
          el("span", { class: "rank", "aria-hidden": "true" }, String(match.rank))));
        })))),
    el("div", { class: "axis", "aria-hidden": "true" }, ticks.map((tick) =>
      el("span", { style: { left: place(tick) } }, moment(new Date(tick).toISOString())))));
}
