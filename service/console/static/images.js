/** Images of the gallery: fetched with the session's key, when they come into view, and shown as blobs. */

import { ask, pathOf } from "./api.js";
import { on } from "./events.js";

const KEPT = 400;
const urls = new Map();
const waiting = new WeakMap();

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting) {
      seen.unobserve(target);
      load(target, waiting.get(target));
    }
  }
}, { rootMargin: "300px" });

/** Show an enrolled image in an `img` once it is looked at. */
export function showEnrolled(img, imageId) {
  waiting.set(img, imageId);
  seen.observe(img);
  return img;
}

/** Show an enrolled image at once; resolves when it is there, or cannot be. */
export async function load(img, imageId) {
  try {
    img.src = await urlOf(imageId);
    await img.decode();
    img.classList.remove("missing");
  } catch {
    img.classList.add("missing");
    img.removeAttribute("src");
  }
}

/** The file of an enrolled image, byte for byte. */
export async function fileOf(imageId) {
  const response = await ask("GET", pathOf("gallery", imageId, "image"), { accept: "image/*" });
  const blob = await response.blob();
  return new File([blob], imageId.split("/").pop(), { type: blob.type });
}

function urlOf(imageId) {
  let url = urls.get(imageId);
  if (url === undefined) {
    url = fileOf(imageId).then((file) => URL.createObjectURL(file));
    url.catch(() => urls.delete(imageId));
    urls.set(imageId, url);
    for (const [oldest, kept] of urls) {
      if (urls.size <= KEPT) break;
      urls.delete(oldest);
      kept.then(URL.revokeObjectURL, () => {});
    }
  }
  return url;
}

function forget() {
  for (const url of urls.values()) url.then(URL.revokeObjectURL, () => {});
  urls.clear();
}

// Another key may see less; an id may stand for another image after a deletion.
on("key-changed", forget);
on("gallery-changed", forget);
