/** What is searched or listed: conditions that the service knows, as a form. */

import { button, el, field } from "./dom.js";
import { takes } from "./service.js";
import { cameraIds } from "./choices.js";
import { on } from "./events.js";

/**
 * The conditions that a route takes; `onChange` is called when one is changed.
 *
 * `values()` gives them as the route takes them, `count()` how many there are.
 */
export function filterForm(method, path, onChange) {
  const has = (name) => takes(method, path, name);
  const controls = [];
  const parts = [];

  function add(name, label, control, read, hint = null) {
    controls.push({ name, control, read });
    control.addEventListener("change", () => onChange());
    parts.push(field(label, control, hint));
  }
  const text = (placeholder) => el("input", { type: "text", autocomplete: "off", placeholder });
  const list = (control) => control.value.split(",").map((one) => one.trim()).filter(Boolean);
  const time = (control) => (control.value ? new Date(control.value).toISOString() : "");
  const moment = () => el("input", { type: "datetime-local" });

  if (has("only_camera_id")) {
    const cameras = el("select", { multiple: true, size: "4" });
    const fill = async () => {
      const ids = await cameraIds();
      const chosen = new Set([...cameras.selectedOptions].map((one) => one.value));
      // One that is chosen stays a condition, though its last image was deleted.
      const shown = [...new Set([...ids, ...chosen])].sort();
      cameras.replaceChildren(...shown.map((id) => el("option", { value: id, selected: chosen.has(id) }, id)));
      cameras.closest(".field").hidden = shown.length === 0;
    };
    add("only_camera_id", "Cameras", cameras, (control) => [...control.selectedOptions].map((one) => one.value),
      "none chosen: all; Ctrl for several");
    fill();
    on("gallery-changed", fill);
  }
  if (has("captured_from")) add("captured_from", "From", moment(), time);
  if (has("captured_to")) add("captured_to", "Until", moment(), time);
  if (has("only_vehicle_id")) add("only_vehicle_id", "Vehicles", text("all"), list);
  if (has("only_vehicle_type")) add("only_vehicle_type", "Types", text("all, or car, bus"), list);
  if (has("only_view")) add("only_view", "Views", text("all"), list);
  if (has("all_tag")) add("all_tag", "Tags", text("any"), list, "with each of these");
  if (parts.length === 0) return { root: null, values: () => ({}), count: () => 0, clear() {} };

  const clear = button("Clear", { class: "quiet", on: { click: () => { form.clear(); onChange(); } } });
  const number = el("span", { class: "badge", hidden: true });
  const root = el("details", { class: "filters" }, el("summary", {}, "Filters", number),
    el("div", { class: "filter-fields" }, parts, clear));
  const form = {
    root,
    values: () => Object.fromEntries(controls.map(({ name, control, read }) => [name, read(control)])),
    count: () => Object.values(form.values()).filter((value) => value.length > 0).length,
    clear() {
      for (const { control } of controls) {
        if (control.multiple) for (const option of control.options) option.selected = false;
        else control.value = "";
      }
      form.tell();
    },
    tell() {
      number.textContent = String(form.count());
      number.hidden = form.count() === 0;
    },
  };
  root.addEventListener("change", () => form.tell());
  return form;
}
