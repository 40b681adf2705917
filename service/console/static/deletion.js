/** Deleting: never before it was said how many images, and asked. */

import { announce, confirmed, dialog, el } from "./dom.js";
import { emit } from "./events.js";
import { ask, askJson, askPatiently, pathOf } from "./api.js";
import { counted } from "./format.js";
import { inWords } from "./problem.js";

/** Delete all images that meet conditions, after the service has counted them; whether they were. */
export async function deleteWhere(conditions) {
  const parameters = { ...conditions, dry_run: "true" };
  const { left: number } = await askJson("DELETE", "gallery", { parameters });
  if (number === 0) {
    announce("No image meets the conditions.");
    return false;
  }
  const sure = await confirmed(`Delete ${counted(number, "image")}?`,
    `All ${counted(number, "image")} that pass the filters will be deleted, also those that are not shown, with their `
    + "descriptors and the verdicts on them. That cannot be taken back.", `Delete ${counted(number, "image")}`);
  if (!sure) return false;
  let gone = 0;
  try {
    for (;;) {
      const { deleted, left } = await askPatiently("DELETE", "gallery", { parameters: conditions });
      gone += deleted;
      if (left === 0) break;
      announce(`${counted(gone, "image")} deleted, ${counted(left, "image")} to go.`);
    }
  } finally {
    emit("gallery-changed");
    announce(`${counted(gone, "image")} deleted.`);
  }
  return true;
}

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
