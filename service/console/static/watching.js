/** Watching for the vehicle of an enrolled image. */

import { announce, button, dialog, el, field } from "./dom.js";
import { emit } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";
import { problemBox } from "./problem.js";

/** Whether the service has watches and this key may make them. */
export const canWatch = () => can("POST", "/watches");

/** Ask how, and watch for the vehicle that an enrolled image shows. */
export function watchFor(imageId) {
  const name = el("input", { type: "text", maxlength: "256", autocomplete: "off" });
  const threshold = el("input", { type: "number", min: "0", max: "1", step: "any" });
  const cameras = el("input", { type: "text", autocomplete: "off" });
  const problem = el("div", {});
  const form = el("form", { class: "dialog-body search-form" },
    el("p", {}, "Images that are enrolled from now on and show this vehicle will be told under Watches."),
    field("Name", name), field("Threshold", threshold, "the bundle's when empty"),
    field("Cameras", cameras, "all when empty; with commas between"), problem,
    el("div", { class: "actions" }, button("Cancel", { on: { click: () => shown.close() } }),
      el("button", { type: "submit", class: "primary" }, "Watch")));
  const shown = dialog(`Watch for ${imageId}`, form, { className: "small" });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const only = cameras.value.split(",").map((camera) => camera.trim()).filter(Boolean);
    const fields = { image_id: imageId, name: name.value.trim(), threshold: threshold.value, only_camera_id: only };
    try {
      await askJson("POST", "watches", { fields });
      shown.close();
      announce("It is watched for from now on.");
      emit("watches-changed");
    } catch (error) {
      problem.replaceChildren(problemBox(error));
    }
  });
  name.focus();
}
