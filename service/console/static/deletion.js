/** Deleting: never before it was said how many images, and asked. */

import { announce, confirmed, dialog, el } from "./dom.js";
import { emit } from "./events.js";
import { ask, pathOf } from "./api.js";
import { counted } from "./format.js";
import { inWords } from "./problem.js";

/** Delete images after asking; whether they were. */
export async function deleteImages(imageIds) {
  const words = `${counted(imageIds.length, "image")} will be deleted, with ${imageIds.length === 1 ? "its" : "their"} `
    + "descriptors, and with the verdicts on them. That cannot be taken back.";
  const sure = await confirmed(imageIds.length === 1 ? `Delete ${imageIds[0]}?` : `Delete ${counted(imageIds.length, "image")}?`,
    words, `Delete ${counted(imageIds.length, "image")}`);
  if (!sure) return false;
  let gone = 0;
  const failed = [];
  for (const imageId of imageIds) {
    try {
      await ask("DELETE", pathOf("gallery", imageId));
      gone += 1;
    } catch (error) {
      failed.push(`${imageId}: ${inWords(error)}`);
    }
  }
  emit("gallery-changed");
  announce(`${counted(gone, "image")} deleted.${failed.length ? ` ${failed.length} failed.` : ""}`);
  if (failed.length) {
    dialog("Not deleted", el("ul", { class: "dialog-body" }, failed.map((line) => el("li", {}, line))), { className: "small" });
  }
  return gone > 0;
}
