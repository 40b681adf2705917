/** The gallery: browse and filter what is enrolled, look at one image, edit, delete, enroll more. */

import { button, el, icon as drawing, isNarrow } from "./dom.js";
import { on } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";
import { counted, moment } from "./format.js";
import { showEnrolled } from "./images.js";
import { problemBox } from "./problem.js";
import { filterForm } from "./filters.js";
import { deleteImages, deleteWhere } from "./deletion.js";
import { canTag, tagImages } from "./tagging.js";
import { openRecord } from "./record.js";
import { enrollPanel } from "./enroll.js";

export const name = "gallery";
export const title = "Gallery";
export const icon = "image";
export const available = () => can("GET", "/gallery") || can("POST", "/gallery");

const PAGE = 60;
let list = null;

/** Build the view. */
export function start(section) {
  list = can("GET", "/gallery") ? new Listing() : null;
  const enroll = can("POST", "/gallery") ? enrollPanel(section) : null;
  section.append(el("h1", { class: "visually-hidden" }, "Gallery"),
    el("div", { class: "columns" },
      el("aside", { class: "side", "aria-label": "Enroll and filter" }, enroll, list?.filters.root ?? null),
      list?.root ?? el("p", { class: "soft loaded" }, "This key may enroll images and not list them.")));
  list?.reload();
}

on("gallery-changed", () => list?.reload());

class Listing {
  constructor() {
    this.filters = filterForm("GET", "/gallery", () => this.reload());
    if (this.filters.root) {
      this.filters.root.open = !isNarrow();
      this.filters.root.classList.add("listing-filters");
    }
    this.tiles = el("ol", { class: "tiles", "aria-label": "Enrolled images, in order of enrollment" });
    this.more = button("Show more", { hidden: true, on: { click: () => this.load() } });
    this.words = el("p", { class: "soft", "aria-live": "polite" });
    this.tools = el("div", { class: "selection", hidden: true });
    this.selected = new Map();
    this.all = button("Delete all that pass", { class: "danger", hidden: true, on: { click: () => this.deleteAll() } },
      drawing("trash"));
    this.root = el("div", { class: "listing" }, el("header", { class: "answer-head" }, el("div", { class: "summary" },
      el("h2", {}, "Enrolled images"), this.words), this.all), this.tools, this.tiles, el("div", { class: "more" }, this.more));
    // The next page comes when the end is near; the button is for those who do not scroll.
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && !this.more.hidden) this.load();
    }, { rootMargin: "400px" }).observe(this.more);
  }

  async reload() {
    this.next = null;
    this.shown = 0;
    this.select(null);
    this.generation = (this.generation ?? 0) + 1;
    this.loading = false;
    await this.load(true);
  }

  async load(anew = false) {
    if (this.loading) return;
    this.loading = true;
    const generation = this.generation;
    try {
      const page = await askJson("GET", "gallery", { parameters: { limit: PAGE, after: this.next, ...this.filters.values() } });
      if (generation !== this.generation) return;
      const tiles = page.records.map((record) => this.tile(record));
      if (anew) this.tiles.replaceChildren(...tiles);
      else this.tiles.append(...tiles);
      this.shown += page.records.length;
      this.next = page.next;
      this.more.hidden = page.next === null;
      this.all.hidden = !can("DELETE", "/gallery") || this.filters.count() === 0 || this.shown === 0;
      this.words.textContent = this.shown === 0
        ? (this.filters.count() ? "No image passes the filters." : "Nothing is enrolled yet.")
        : `${counted(this.shown, "image")} shown${page.next === null ? "" : ", there are more"}`;
    } catch (error) {
      if (generation !== this.generation) return;
      this.tiles.replaceChildren();
      this.words.replaceChildren(problemBox(error, button("Try again", { on: { click: () => this.reload() } })));
    } finally {
      if (generation === this.generation) this.loading = false;
      this.root.classList.add("loaded");
    }
  }

  async deleteAll() {
    try {
      await deleteWhere(this.filters.values());
    } catch (error) {
      this.words.replaceChildren(problemBox(error));
    }
  }

  tile(record) {
    const box = el("input", { type: "checkbox", class: "pick", "aria-label": `Select ${record.image_id}`,
      on: { change: () => { tile.classList.toggle("selected", box.checked); this.select(record, box); } } });
    const facts = [record.vehicle_id, record.camera_id, record.captured_at && moment(record.captured_at)].filter(Boolean);
    const tile = el("li", { class: "card tile" },
      el("button", { type: "button", class: "face", "data-image-id": record.image_id, title: record.image_id,
        "aria-label": [record.image_id, ...facts].join(", "), on: { click: () => openRecord(record) } },
      showEnrolled(el("img", { alt: "" }), record.image_id)), box,
      el("div", { class: "tile-facts" }, el("strong", {}, record.vehicle_id ?? "no vehicle named"),
        el("span", {}, record.camera_id ?? "no camera named"), el("span", {}, moment(record.captured_at))));
    return tile;
  }

  /** A tile was picked or let go; without one, all are let go. */
  select(record, box = null) {
    if (record === null) this.selected.clear();
    else if (box.checked) this.selected.set(record.image_id, box);
    else this.selected.delete(record.image_id);
    const number = this.selected.size;
    this.tools.hidden = number === 0;
    this.tools.replaceChildren(el("span", {}, `${counted(number, "image")} selected`),
      ...(canTag() ? [button("Tag", { on: { click: () => tagImages([...this.selected.keys()]) } }, drawing("edit"))] : []),
      ...(can("DELETE", "/gallery/{image_id}")
        ? [button(`Delete ${number}`, { class: "danger", on: { click: () => deleteImages([...this.selected.keys()]) } }, drawing("trash"))] : []),
      button("Clear", { class: "quiet", on: { click: () => {
        for (const one of this.selected.values()) { one.checked = false; one.closest("li").classList.remove("selected"); }
        this.select(null);
      } } }));
  }
}
