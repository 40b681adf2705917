/** One enrolled image: looked at, edited, deleted, searched with. */

import { announce, button, dialog, el, field, icon } from "./dom.js";
import { emit } from "./events.js";
import { askJson, pathOf } from "./api.js";
import { can, takes } from "./service.js";
import { exactMoment } from "./format.js";
import { load } from "./images.js";
import { problemBox } from "./problem.js";
import { deleteImages } from "./deletion.js";
import { canWatch, watchFor } from "./watching.js";

const PATCHED = ["vehicle_id", "camera_id", "captured_at", "vehicle_type", "view", "tags"];
const NAMES = { vehicle_id: "Vehicle", camera_id: "Camera", captured_at: "Time", vehicle_type: "Type", view: "View",
  tags: "Tags" };

/** Open the record of an image. */
export function openRecord(record) {
  const body = el("div", { class: "record" });
  const shown = dialog(record.image_id, body, { className: "wide" });
  show(record);

  function show(now) {
    const image = el("img", { alt: `Enrolled image ${now.image_id}` });
    load(image, now.image_id);
    const facts = [
      ["Vehicle", now.vehicle_id], ["Camera", now.camera_id], ["Time", exactMoment(now.captured_at)],
      ["Type", now.vehicle_type], ["View", now.view], ["Tags", now.tags?.join(", ")], ["Collection", now.collection],
      ["Enrolled", exactMoment(now.enrolled_at)], ["Format", now.media_type], ["Model", now.fingerprint.slice(0, 12)],
    ].filter(([, value]) => value);
    body.replaceChildren(
      el("div", { class: "record-image" }, image),
      el("div", { class: "record-side" },
        el("dl", { class: "facts" }, facts.map(([label, value]) =>
          el("div", {}, el("dt", {}, label), el("dd", {}, value)))),
        el("div", { class: "record-tools" },
          can("POST", "/query") ? button("Search with this one", { class: "primary", on: { click: () => {
            shown.close();
            emit("search-with", now.image_id);
          } } }, icon("search")) : null,
          canWatch() ? button("Watch", { on: { click: () => watchFor(now.image_id) } }, icon("eye")) : null,
          can("PATCH", "/gallery/{image_id}") ? button("Edit", { on: { click: () => edit(now) } }, icon("edit")) : null,
          can("DELETE", "/gallery/{image_id}") ? button("Delete", { class: "danger", on: { click: async () => {
            if (await deleteImages([now.image_id])) shown.close();
          } } }, icon("trash")) : null)));
  }

  function edit(now) {
    const inputs = PATCHED.filter((name) => takes("PATCH", "/gallery/{image_id}", name)).map((name) => {
      const value = name === "tags" ? now.tags.join(", ") : now[name] ?? "";
      return [name, el("input", { type: "text", value, autocomplete: "off" })];
    });
    const problem = el("div", {});
    const form = el("form", { class: "record-form" },
      inputs.map(([name, input]) => field(NAMES[name], input,
        name === "tags" ? "with commas between" : name === "captured_at" ? "such as 2024-05-17T08:30:00+02:00" : null)),
      problem,
      el("div", { class: "actions" }, button("Cancel", { on: { click: () => show(now) } }),
        el("button", { type: "submit", class: "primary" }, "Save")));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const fields = { clear: [] };
      for (const [name, input] of inputs) {
        const text = input.value.trim();
        const before = name === "tags" ? now.tags.join(", ") : now[name] ?? "";
        if (text === before) continue;
        if (text === "") fields.clear.push(name);
        else fields[name] = name === "tags" ? text.split(",").map((tag) => tag.trim()).filter(Boolean) : text;
      }
      try {
        const isChanged = fields.clear.length > 0 || Object.keys(fields).length > 1;
        const changed = isChanged ? await askJson("PATCH", pathOf("gallery", now.image_id), { fields }) : now;
        announce("Saved.");
        show(changed);
        emit("gallery-changed");
      } catch (error) {
        problem.replaceChildren(problemBox(error));
      }
    });
    body.lastElementChild.replaceChildren(form);
    inputs[0]?.[1].focus();
  }
}
