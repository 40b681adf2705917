/** The watches: what is looked for, and alerts as they come, with a mark for those that were not seen. */

import { announce, button, confirmed, el } from "./dom.js";
import { emit, on } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";
import { count, counted, exactMoment, similarity } from "./format.js";
import { showEnrolled, showWatched } from "./images.js";
import { problemBox } from "./problem.js";
import "./alertstream.js";

export const name = "watches";
export const title = "Watches";
export const icon = "eye";
export const available = () => can("GET", "/watches");

const PAGE = 50;
let place = null;
let unseen = 0;
let next = null;
let unheard = null;

/** Build the view. */
export function start(section) {
  place = el("div", {});
  section.append(el("h1", { class: "visually-hidden" }, "Watches"), place);
  resume();
}

/** The view is seen again: nothing is unseen any more. */
export function resume() {
  unseen = 0;
  mark();
  show();
}

/** Say beside the view's name how many alerts were not seen. */
export function mark() {
  const link = document.getElementById(`to-${name}`);
  link?.querySelector(".badge")?.remove();
  if (unseen) link?.append(el("span", { class: "badge" }, count(unseen), el("span", { class: "visually-hidden" }, " new")));
}

on("watches-changed", () => { if (place) show(); });
on("gallery-changed", () => { if (place) show(); });
on("collection-changed", () => { unseen = 0; mark(); });
on("alerts-unheard", (error) => {
  unheard = error;
  if (place) show();
});
on("alert", (alert) => {
  announce(`Alert: ${alert.watch_name || `watch ${alert.watch_id}`} was seen${alert.camera_id ? ` by ${alert.camera_id}` : ""}.`);
  if (place?.isConnected && !place.closest("section").hidden) {
    show();
    return;
  }
  unseen += 1;
  mark();
});

async function show() {
  try {
    const { watches } = await askJson("GET", "watches");
    const page = await askJson("GET", "alerts", { parameters: { limit: PAGE } });
    next = page.next;
    const list = el("ul", { class: "alerts", "aria-label": "Alerts" }, page.alerts.map(row));
    const more = button("More", { hidden: next === null, on: { click: () => older(list, more) } });
    place.replaceChildren(
      el("header", { class: "page-head" }, el("h2", {}, "Watches"),
        el("p", { class: "soft" }, "What is looked for in whatever is enrolled. Make one below a probe, beside a match or in a record.")),
      ...(unheard ? [problemBox(unheard)] : []),
      watches.length ? table(watches) : el("div", { class: "empty" }, el("h2", {}, "Nothing is watched for")),
      el("h2", { class: "alerts-head" }, "Alerts"),
      page.alerts.length ? list : el("p", { class: "soft" }, "None was raised."), more);
  } catch (error) {
    place.replaceChildren(problemBox(error, button("Try again", { on: { click: show } })));
  }
  place.classList.add("loaded");
}

async function older(list, more) {
  const page = await askJson("GET", "alerts", { parameters: { limit: PAGE, after: next } });
  next = page.next;
  more.hidden = next === null;
  list.append(...page.alerts.map(row));
}

function table(watches) {
  return el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Watches: table" }, el("table", {},
    el("thead", {}, el("tr", {}, ["Watch", "Image", "Cameras"].map((words) => el("th", { scope: "col" }, words)),
      ["Threshold", "Alerts"].map((words) => el("th", { scope: "col", class: "number" }, words)),
      el("th", { scope: "col" }, "Webhook"), el("th", { scope: "col" }, "Made"), el("td", {}))),
    el("tbody", {}, watches.map((watch) => el("tr", {},
      el("th", { scope: "row" }, called(watch.id, watch.name)), el("td", {}, el("div", { class: "watched-image" },
        watch.image_id === null ? showWatched(el("img", { alt: "" }), watch.id)
          : showEnrolled(el("img", { alt: "" }), watch.image_id), watch.image_id ?? "a file")),
      el("td", {}, watch.only_camera_id.join(", ") || "all"),
      el("td", { class: "number" }, watch.threshold === null ? "the bundle's" : similarity(watch.threshold)),
      el("td", { class: "number" }, count(watch.alerts)), el("td", {}, watch.webhook ? new URL(watch.webhook).host : "–"),
      el("td", {}, exactMoment(watch.created_at)),
      el("td", {}, button("Remove", { class: "danger", "aria-label": `Remove ${called(watch.id, watch.name)}`,
        on: { click: () => remove(watch) } })))))));
}

function row(alert) {
  const { delivery } = alert;
  return el("li", { class: "alert-row" },
    el("button", { type: "button", class: "face", title: "Search with this one", "aria-label": `Search with ${alert.image_id}`,
      on: { click: () => emit("search-with", alert.image_id) } }, showEnrolled(el("img", { alt: "" }), alert.image_id)),
    el("div", { class: "alert-words" }, el("strong", {}, called(alert.watch_id, alert.watch_name)),
      el("span", {}, alert.image_id),
      el("span", { class: "soft" }, [alert.camera_id, exactMoment(alert.captured_at ?? alert.raised_at),
        `similarity ${similarity(alert.similarity)}`].filter(Boolean).join(", ")),
      delivery && delivery.state !== "delivered"
        ? el("span", { class: "soft" }, `delivery ${delivery.state}${delivery.problem ? `: ${delivery.problem}` : ""}`) : null));
}

async function remove(watch) {
  const sure = await confirmed(`Remove ${called(watch.id, watch.name)}?`,
    `The watch and its ${counted(watch.alerts, "alert")} will be gone. That cannot be taken back.`, "Remove");
  if (!sure) return;
  try {
    await askJson("DELETE", `watches/${watch.id}`);
    announce("The watch is removed.");
    await show();
  } catch (error) {
    place.prepend(problemBox(error));
  }
}

const called = (id, its) => its || `watch ${id}`;
