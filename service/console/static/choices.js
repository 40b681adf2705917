/** What may be chosen by name: the cameras that have images. */

import { el } from "./dom.js";
import { on } from "./events.js";
import { askJson } from "./api.js";
import { can } from "./service.js";

let cameras = null;

/** The ids of all cameras, asked for once; none where this key may not ask. */
export function cameraIds() {
  if (!can("GET", "/cameras")) return Promise.resolve([]);
  cameras ??= askJson("GET", "cameras").then((answer) => answer.cameras.map((one) => one.camera_id));
  cameras.catch(() => { cameras = null; });
  return cameras.catch(() => []);
}
on("gallery-changed", () => { cameras = null; });

/** A list of the cameras for an input that names one. */
export function cameraChoices(id) {
  const list = el("datalist", { id });
  const fill = async () => list.replaceChildren(...(await cameraIds()).map((one) => el("option", { value: one })));
  on("gallery-changed", fill);
  fill();
  return list;
}
