/** The start: views by the address's hash, the bar above them, and the keys that hold everywhere. */

import { icon, el, dialog, iconButton } from "./dom.js";
import { emit, on } from "./events.js";
import { gate, keyButton } from "./login.js";
import { collectionChoice } from "./collections.js";
import { watchConnection } from "./connection.js";
import * as cameras from "./cameras.js";
import * as gallery from "./gallery.js";
import * as search from "./search.js";
import * as status from "./status.js";
import * as watches from "./watches.js";

const VIEWS = [search, gallery, watches, cameras, status];
const main = document.getElementById("main");
const shown = new Map();

function build() {
  shown.clear();
  main.replaceChildren();
  const links = VIEWS.filter((view) => view.available()).map((view) => {
    const section = el("section", { class: `view view-${view.name}`, "aria-label": view.title, hidden: true });
    main.append(section);
    shown.set(view.name, { view, section, started: false });
    return el("a", { href: `#${view.name}`, id: `to-${view.name}` }, icon(view.icon), el("span", {}, view.title));
  });
  document.getElementById("views").replaceChildren(...links);
  watches.mark();
  show();
}

function show() {
  const name = location.hash.slice(1);
  const chosen = shown.has(name) ? name : shown.keys().next().value;
  for (const [each, entry] of shown) {
    const current = each === chosen;
    entry.section.hidden = !current;
    const link = document.getElementById(`to-${each}`);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (current && !entry.started) {
      entry.started = true;
      entry.view.start(entry.section);
    } else if (current) {
      entry.view.resume?.();
    } else if (entry.started) {
      entry.view.pause?.();
    }
    if (current) document.title = `${entry.view.title} · LKA-ReID`;
  }
}

function themeButton() {
  const root = document.documentElement;
  const kept = localStorage.getItem("lka-reid.theme");
  if (kept) root.dataset.theme = kept;
  return iconButton("theme", "Light or dark", { class: "quiet", on: { click: () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("lka-reid.theme", root.dataset.theme);
  } } });
}

const KEYS = [
  ["Anywhere", [["?", "this help"], ["Ctrl V", "search with the copied image"], ["Esc", "close what is open"]]],
  ["On a match", [
    ["← → ↑ ↓", "go to another match"], ["Enter", "side by side, and why"],
    ["S", "same vehicle"], ["N", "not the same vehicle"], ["U", "take the verdict back"],
    ["Q", "search with this image"], ["X", "select"]]],
  ["Side by side", [["← →", "the match before, the next one"], ["S N U Q", "as on a match"]]],
];

function help() {
  dialog("Keys", el("div", { class: "dialog-body keys" }, KEYS.map(([where, keys]) => [
    el("h3", {}, where),
    el("dl", {}, keys.map(([key, what]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)))),
  ]).flat()), { className: "small" });
}

document.getElementById("skip").addEventListener("click", () => main.focus());
document.getElementById("tools").append(
  collectionChoice(),
  el("a", { id: "readiness", class: "readiness", href: "#status" }, el("span", { class: "dot" }),
    el("span", { id: "readiness-words" }, "asking")),
  iconButton("help", "Keys", { class: "quiet", on: { click: help } }), themeButton(), keyButton());
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.target.matches("input, select, textarea")) return;
  if (!document.querySelector("dialog[open]")) help();
});
addEventListener("hashchange", show);
on("search-with", () => { location.hash = "search"; });
on("access-learnt", build);
watchConnection();
gate().then(() => emit("started"));
