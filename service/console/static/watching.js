/** Watching for the vehicle of an enrolled image, or of a probe. */

import { announce, button, dialog, el, field } from "./dom.js";
import { emit } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";
import { showEnrolled } from "./images.js";
import { problemBox } from "./problem.js";

/** Whether the service has watches and this key may make them. */
export const canWatch = () => can("POST", "/watches");

/** Ask how, and watch for the vehicle that an enrolled image shows. */
export function watchFor(imageId) {
  askHow(imageId, showEnrolled(el("img", { alt: "" }), imageId), { image_id: imageId });
}

/**
 * Ask how, and watch for the vehicle of a probe.
 *
 * `fields` say what of the file is meant, as those of a search do; `url` is of an image that shows just that.
 */
export function watchForProbe(file, fields, url) {
  askHow(fields.box ? `a vehicle in ${file.name}` : file.name, el("img", { alt: "", src: url }), { image: file, ...fields });
}

function askHow(called, image, vehicle) {
  const name = el("input", { type: "text", maxlength: "256", autocomplete: "off" });
  const threshold = el("input", { type: "number", min: "0", max: "1", step: "any" });
  const cameras = el("input", { type: "text", autocomplete: "off" });
  const problem = el("div", {});
  // Not every file that the service takes can be shown by a browser.
  image.addEventListener("error", () => image.remove());
  const submit = el("button", { type: "submit", class: "primary" }, "Watch");
  const form = el("form", { class: "dialog-body search-form" },
    el("div", { class: "watched" }, image,
      el("p", {}, "Images that are enrolled from now on and show this vehicle will be listed under Watches.")),
    field("Name", name), field("Threshold", threshold, "the bundle's when empty"),
    field("Cameras", cameras, "all when empty; with commas between"), problem,
    el("div", { class: "actions" }, button("Cancel", { on: { click: () => shown.close() } }), submit));
  const shown = dialog(`Watch for ${called}`, form, { className: "small" });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const only = cameras.value.split(",").map((camera) => camera.trim()).filter(Boolean);
    const how = { name: name.value.trim(), threshold: threshold.value, only_camera_id: only };
    // A second click would make a second watch.
    submit.disabled = true;
    try {
      await askJson("POST", "watches", { fields: { ...vehicle, ...how } });
      shown.close();
      announce("It is watched for from now on.");
      emit("watches-changed");
    } catch (error) {
      problem.replaceChildren(problemBox(error));
    } finally {
      submit.disabled = false;
    }
  });
  name.focus();
}
