/** Tags on many images at once: added to those that each has. */

import { announce, button, dialog, el, field } from "./dom.js";
import { emit } from "./events.js";
import { askJson, askPatiently, pathOf } from "./api.js";
import { can, takes } from "./service.js";
import { counted } from "./format.js";
import { inWords } from "./problem.js";

/** Whether tags can be added to what is enrolled. */
export const canTag = () => can("PATCH", "/gallery/{image_id}") && takes("PATCH", "/gallery/{image_id}", "tags");

/** Ask for tags, and add them to images. */
export function tagImages(imageIds) {
  const input = el("input", { type: "text", autocomplete: "off", required: true });
  const said = el("div", { role: "status" });
  const form = el("form", { class: "dialog-body" }, field("Tags to add", input, "with commas between"), said,
    el("div", { class: "actions" }, button("Cancel", { on: { click: () => shown.close() } }),
      el("button", { type: "submit", class: "primary" }, "Add")));
  const shown = dialog(`Tag ${counted(imageIds.length, "image")}`, form, { className: "small" });
  input.focus();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const added = input.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    const failed = [];
    for (const imageId of imageIds) {
      try {
        const { tags } = await askJson("GET", pathOf("gallery", imageId));
        await askPatiently("PATCH", pathOf("gallery", imageId), { fields: { tags: [...new Set([...tags, ...added])] } });
      } catch (error) {
        failed.push(`${imageId}: ${inWords(error)}`);
      }
    }
    emit("gallery-changed");
    if (failed.length === 0) {
      shown.close();
      announce(`${counted(imageIds.length, "image")} tagged.`);
    } else {
      said.replaceChildren(el("ul", { class: "failures" }, failed.map((line) => el("li", {}, line))));
    }
  });
}
