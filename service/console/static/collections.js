/** Collections: galleries apart. One is looked at at a time; all requests name it. */

import { announce, button, confirmed, dialog, el, field, iconButton } from "./dom.js";
import { emit, on } from "./events.js";
import { askJson, currentCollection, useCollection } from "./api.js";
import { can } from "./service.js";
import { bytes, count, counted } from "./format.js";
import { inWords, problemBox } from "./problem.js";

const DEFAULT = "default";
const place = el("span", { class: "collections" });

/** Where a collection is chosen; empty where the service has none, or this key reaches one alone. */
export function collectionChoice() {
  return place;
}

on("access-learnt", show);

async function show() {
  if (!can("GET", "/collections")) {
    place.replaceChildren();
    return;
  }
  try {
    const { collections } = await askJson("GET", "collections");
    const names = collections.map((one) => one.name);
    // A key may reach some collections and not the default one.
    if (names.length && !names.includes(currentCollection() ?? DEFAULT)) choose(names.includes(DEFAULT) ? DEFAULT : names[0]);
    const select = el("select", { "aria-label": "Collection", title: "Collection", on: { change: () => choose(select.value) } },
      collections.map((one) => el("option", { value: one.name, selected: one.name === (currentCollection() ?? DEFAULT) },
        one.name)));
    place.replaceChildren(...(names.length > 1 ? [select] : []),
      ...(can("POST", "/collections") ? [iconButton("box", "Collections", { class: "quiet", on: { click: manage } })] : []));
  } catch {
    place.replaceChildren();
  }
}

function choose(name) {
  useCollection(name === DEFAULT ? null : name);
  announce(`Collection ${name}.`);
  emit("gallery-changed");
  emit("collection-changed");
}

/** The collections as a table, with making and dropping them. */
async function manage() {
  const body = el("div", { class: "dialog-body" });
  dialog("Collections", body, { onClose: show });
  await fill(body);
}

async function fill(body) {
  try {
    const { collections } = await askJson("GET", "collections");
    body.replaceChildren(
      el("div", { class: "table-frame", role: "region", tabindex: "0", "aria-label": "Collections: table" }, el("table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Collection"),
          ["Images", "At most", "Size", "At most"].map((words) => el("th", { scope: "col", class: "number" }, words)),
          el("td", {}))),
        el("tbody", {}, collections.map((one) => row(one, body))))),
      maker(body));
  } catch (error) {
    body.replaceChildren(problemBox(error));
  }
}

function row(one, body) {
  const number = (value, words) => el("td", { class: "number" }, value === null ? "–" : words(value));
  return el("tr", {}, el("th", { scope: "row" }, one.name), number(one.images, count), number(one.max_images, count),
    number(one.bytes, bytes), number(one.max_bytes, bytes),
    el("td", {}, one.name !== DEFAULT && can("DELETE", "/collections/{name}")
      ? button("Drop", { class: "danger", "aria-label": `Drop ${one.name}`, on: { click: () => drop(one, body) } }) : null));
}

async function drop(one, body) {
  const sure = await confirmed(`Drop ${one.name}?`, `The collection and its ${counted(one.images, "image")} will be gone. `
    + "That cannot be taken back.", `Drop ${counted(one.images, "image")}`);
  if (!sure) return;
  try {
    await askJson("DELETE", `collections/${encodeURIComponent(one.name)}`);
    announce(`${one.name} is dropped.`);
    await fill(body);
  } catch (error) {
    body.append(problemBox(error));
  }
}

function maker(body) {
  const name = el("input", { type: "text", required: true, autocomplete: "off" });
  const most = el("input", { type: "number", min: "0" });
  const said = el("p", { role: "alert" });
  const form = el("form", { class: "search-form" }, el("h3", {}, "Make one"),
    el("div", { class: "field-row" }, field("Name", name), field("Images at most", most, "empty for no limit")), said,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Make")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await askJson("POST", "collections", { fields: { name: name.value.trim(), max_images: most.value } });
      announce(`${name.value.trim()} is made.`);
      await fill(body);
    } catch (error) {
      said.textContent = inWords(error);
    }
  });
  return form;
}
