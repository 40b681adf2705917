/** An answer: its summary, its tools, and its matches as a grid, by vehicle, or along time. */

import { announce, button, el, icon } from "./dom.js";
import { counted, milliseconds, similarity } from "./format.js";
import { MatchCard } from "./card.js";
import { leftOut } from "./verdicts.js";
import { openPair } from "./pair.js";
import { timeLine } from "./timeline.js";
import { csvOf, saveFile, showReport } from "./report.js";
import { emit } from "./events.js";
import { can } from "./service.js";
import { deleteImages } from "./deletion.js";
import { canTag, tagImages } from "./tagging.js";

const LAYOUTS = [["grid", "Ranking", "grid"], ["vehicles", "By vehicle", "vehicle"], ["time", "Time line", "clock"]];
let layout = "grid";

/** What a query found, beside its probe. */
export class Answer {
  constructor(probe, answer, { onSearchAgain, fields }) {
    this.probe = probe;
    this.answer = answer;
    this.fields = fields;
    this.searchAgain = onSearchAgain;
    this.selected = new Set();
    this.threshold = answer.match_threshold ?? null;
    this.cards = answer.matches.map((match) => new MatchCard(match, this));
    this.body = el("div", { class: "matches" });
    this.selection = el("div", { class: "selection", hidden: true });
    this.root = el("div", { class: "answer" }, this.head(),
      leftOut(this, onSearchAgain), this.selection, this.body);
    this.root.addEventListener("keydown", (event) => this.onKey(event));
    this.show(layout);
  }

  head() {
    const { matches, gallery_size: size, timings_ms: timings, reranked, normalisation } = this.answer;
    const above = this.threshold === null ? null : matches.filter((match) => match.is_match).length;
    const facts = [
      above === null ? `of ${counted(size, "image")}` : `${above} above the threshold, of ${counted(size, "image")}`,
      milliseconds(timings.total),
      reranked ? "re-ranked" : "first stage only",
      normalisation && normalisation.camera !== "off" ? "cameras normalised" : null,
    ].filter(Boolean);
    const tabs = el("div", { class: "segmented", role: "group", "aria-label": "Show as" },
      LAYOUTS.map(([id, label, drawing]) => button(label, { "data-layout": id, on: { click: () => this.show(id) } },
        icon(drawing))));
    return el("header", { class: "answer-head" },
      el("div", { class: "summary" },
        el("h2", {}, `${matches.length} ${matches.length === 1 ? "match" : "matches"}`),
        el("p", { class: "facts", title: stagesIn(timings) }, facts.join(" · "))),
      tabs,
      el("div", { class: "tools" },
        button("CSV", { title: "Save the answer as a table", on: { click: () => this.save() } }, icon("download")),
        button("Report", { title: "A page to print, with the images", on: { click: () => showReport(this) } },
          icon("printer"))));
  }

  show(wanted) {
    layout = wanted;
    for (const tab of this.root.querySelectorAll("[data-layout]")) {
      tab.setAttribute("aria-pressed", String(tab.dataset.layout === wanted));
    }
    if (this.cards.length === 0) {
      this.body.replaceChildren(el("div", { class: "empty" }, el("h2", {}, "Nothing was found"),
        el("p", {}, this.answer.gallery_size ? "No image of the gallery passes the filters."
          : "The gallery is empty: enroll images first.")));
      return;
    }
    const layouts = { grid: () => this.grid(), vehicles: () => this.vehicles(), time: () => timeLine(this) };
    this.body.replaceChildren(layouts[wanted]());
    this.roam();
  }

  grid() {
    return cardList(this.cards, "Matches, the best first");
  }

  vehicles() {
    const groups = new Map();
    for (const card of this.cards) {
      const vehicle = card.match.vehicle_id;
      if (!groups.has(vehicle)) groups.set(vehicle, []);
      groups.get(vehicle).push(card);
    }
    return el("div", { class: "groups" }, [...groups].map(([vehicle, cards]) => {
      const best = Math.max(...cards.map((card) => card.match.similarity));
      const cameras = new Set(cards.map((card) => card.match.camera_id).filter(Boolean));
      return el("section", { class: "group", "aria-label": vehicle ?? "No vehicle named" },
        el("h3", {}, vehicle ?? "No vehicle named", " ", el("span", { class: "hint" },
          [counted(cards.length, "image"), cameras.size ? counted(cameras.size, "camera") : null,
            `best ${similarity(best)}`].filter(Boolean).join(" · "))),
        cardList(cards, `Matches of ${vehicle ?? "no named vehicle"}`));
    }));
  }

  /** One match is in the order of the Tab key, the others are reached by the arrow keys. */
  roam(current = null) {
    const faces = this.faces();
    const wanted = current ?? faces[0];
    for (const face of faces) face.tabIndex = face === wanted ? 0 : -1;
  }

  faces() {
    return [...this.body.querySelectorAll(".face")];
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const face = event.target.closest?.(".face");
    if (!face) return;
    const faces = this.faces();
    const at = faces.indexOf(face);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(faces), ArrowUp: -columns(faces),
      Home: -at, End: faces.length - 1 - at };
    if (event.key in steps) {
      event.preventDefault();
      const next = faces[Math.min(faces.length - 1, Math.max(0, at + steps[event.key]))];
      this.roam(next);
      next.focus();
      return;
    }
    const card = this.cards.find((one) => one.match.image_id === face.dataset.imageId);
    if (card?.act(event.key.toLowerCase())) event.preventDefault();
  }

  open(card) {
    openPair(this, this.cards.indexOf(card));
  }

  searchWith(match) {
    emit("search-with", match.image_id);
  }

  save() {
    const chosen = this.selected.size ? this.cards.filter((card) => this.selected.has(card.match.image_id)) : this.cards;
    saveFile(csvOf(this, chosen.map((card) => card.match)), "answer.csv", "text/csv");
    announce(`${counted(chosen.length, "row")} saved.`);
  }

  select(card, wanted) {
    if (wanted) this.selected.add(card.match.image_id);
    else this.selected.delete(card.match.image_id);
    this.selection.hidden = this.selected.size === 0;
    this.selection.replaceChildren(
      el("span", {}, `${counted(this.selected.size, "image")} selected`),
      button("Save as CSV", { on: { click: () => this.save() } }, icon("download")),
      ...(canTag() ? [button("Tag", { on: { click: () => tagImages([...this.selected]) } }, icon("edit"))] : []),
      ...(can("DELETE", "/gallery/{image_id}") ? [button("Delete", { class: "danger", on: { click: async () => {
        if (await deleteImages([...this.selected])) this.searchAgain();
      } } }, icon("trash"))] : []),
      button("Clear", { class: "quiet", on: { click: () => {
        for (const one of this.cards) one.setSelected(false);
      } } }));
  }
}

function cardList(cards, label) {
  return el("ol", { class: "cards", "aria-label": label }, cards.map((card) => card.root));
}

function columns(faces) {
  const top = faces[0]?.getBoundingClientRect().top;
  const later = faces.findIndex((face) => face.getBoundingClientRect().top > top + 4);
  return later > 0 ? later : 1;
}

function stagesIn(timings) {
  return Object.entries(timings).map(([stage, ms]) => `${stage} ${milliseconds(ms)}`).join("\n");
}
