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
      loadFrom(target, waiting.get(target));
    }
  }
}, { rootMargin: "300px" });

/** Show an enrolled image in an `img` once it is looked at. */
export function showEnrolled(img, imageId) {
  return showLater(img, enrolled(imageId));
}

/** The same of the file that a watch was made of. */
export function showWatched(img, watchId) {
  return showLater(img, `watches/${watchId}/image`);
}

function showLater(img, path) {
  waiting.set(img, path);
  seen.observe(img);
  return img;
}

/** Show an enrolled image at once; resolves when it is there, or cannot be. */
export function load(img, imageId) {
  return loadFrom(img, enrolled(imageId));
}

async function loadFrom(img, path) {
  try {
    img.src = await urlOf(path);
    await img.decode();
    img.classList.remove("missing");
  } catch {
    img.classList.add("missing");
    img.removeAttribute("src");
  }
}

/** The file of an enrolled image, byte for byte. */
export async function fileOf(imageId) {
  const blob = await blobAt(enrolled(imageId));
  return new File([blob], imageId.split("/").pop(), { type: blob.type });
}

const enrolled = (imageId) => pathOf("gallery", imageId, "image");

async function blobAt(path) {
  return (await ask("GET", path, { accept: "image/*" })).blob();
}

function urlOf(path) {
  let url = urls.get(path);
  if (url === undefined) {
    url = blobAt(path).then((blob) => URL.createObjectURL(blob));
    url.catch(() => urls.delete(path));
    urls.set(path, url);
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
