/** Same or not the same: what a person decides of the probe and a match, kept by the service. */

import { announce, button, el, icon, iconButton } from "./dom.js";
import { askJson, pathOf } from "./api.js";
import { can } from "./service.js";
import { inWords } from "./problem.js";

const WORDS = { same: "Same vehicle", different: "Not the same" };
const SHORT = { same: "Same", different: "Not the same" };

/** Whether verdicts can be given at all. */
export const canDecide = () => can("POST", "/verdicts");

/** Keep a verdict on the probe of an answer and an image of the gallery. */
export function decide(answer, imageId, verdict) {
  const fields = { ...answer.probe.fields, image: answer.probe.file, image_id: imageId, verdict,
    camera_id: answer.fields.camera_id };
  return askJson("POST", "verdicts", { fields });
}

/** Take a verdict back. */
export function takeBack(answer, imageId) {
  return askJson("DELETE", pathOf(`verdicts/${answer.answer.probe}`, imageId));
}

/** The buttons by which a match is judged, or its verdict is taken back. */
export function verdictTools(card, { words = false } = {}) {
  if (card.verdict) {
    return [
      el("span", { class: `verdict ${card.verdict}` }, icon(card.verdict === "same" ? "check" : "cross"),
        (words ? WORDS : SHORT)[card.verdict]),
      words ? button("Undo", { title: "Take the verdict back (U)", on: { click: () => card.judge(null) } }, icon("undo"))
        : iconButton("undo", "Undo: take the verdict back (U)", { class: "quiet", on: { click: () => card.judge(null) } }),
    ];
  }
  return [["same", "check", "S"], ["different", "cross", "N"]].map(([verdict, drawing, key]) =>
    el("button", { type: "button", class: `judge ${verdict}`, title: `${WORDS[verdict]} (${key})`,
      "aria-label": WORDS[verdict], on: { click: () => card.judge(verdict) } },
    icon(drawing), words ? WORDS[verdict] : null));
}

/** Judge a card's match; resolves once it is kept, and says what went wrong where it is not. */
export async function judge(card, verdict) {
  const { answer, match } = card;
  try {
    if (verdict === null) await takeBack(answer, match.image_id);
    else await decide(answer, match.image_id, verdict);
    card.verdict = verdict;
    announce(verdict === null ? `The verdict on match ${match.rank} is taken back.`
      : `Match ${match.rank}: ${WORDS[verdict].toLowerCase()}. Kept.`);
    return null;
  } catch (error) {
    announce(inWords(error));
    return error;
  }
}

/** What verdicts on the probe did to the answer: images that are left out, and the way back. */
export function leftOut(answer, onChange) {
  const shown = new Set(answer.answer.matches.map((match) => match.image_id));
  const hidden = (answer.answer.verdicts || []).filter((one) => !shown.has(one.image_id));
  if (hidden.length === 0) return null;
  const summary = hidden.every((one) => one.verdict === "different")
    ? `${hidden.length} left out by verdicts on this probe` : `${hidden.length} more with verdicts on this probe`;
  return el("details", { class: "left-out" }, el("summary", {}, summary),
    el("ul", {}, hidden.map((one) => {
      const row = el("li", {}, el("code", {}, one.image_id), ` ${WORDS[one.verdict].toLowerCase()} `,
        can("DELETE", "/verdicts/{probe}/{image_id}")
          ? button("Undo", { class: "quiet", "aria-label": `Undo the verdict on ${one.image_id}`, on: { click: async () => {
            try {
              await takeBack(answer, one.image_id);
              onChange();
            } catch (error) {
              row.append(` ${inWords(error)}`);
            }
          } } }) : null);
      return row;
    })));
}
