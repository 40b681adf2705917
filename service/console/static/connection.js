/** Whether the service is there and ready: the dot in the bar, and a banner while it does not answer. */

import { announce, el } from "./dom.js";
import { emit, on } from "./events.js";
import { askJson, currentCollection, Refused } from "./api.js";
import { can } from "./service.js";
import { counted } from "./format.js";

const OFTEN_MS = 2000;
const SELDOM_MS = 20_000;
let lost = false;
let timer = 0;

/** Ask for readiness now and from then on, more often while the service is away or not ready. */
export function watchConnection() {
  on("lost", () => {
    if (lost) return;
    lost = true;
    document.getElementById("banner").replaceChildren(el("p", { class: "banner" },
      "The service does not answer. What you see stays; it is asked again every 2 seconds."));
    show("away", "no answer");
    again(OFTEN_MS);
  });
  on("found", () => {
    if (!lost) return;
    lost = false;
    document.getElementById("banner").replaceChildren();
    announce("The service answers again.");
    emit("recovered");
    again(0);
  });
  on("gallery-changed", () => again(0));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(0); });
  again(0);
}

function again(delay) {
  clearTimeout(timer);
  timer = setTimeout(look, delay);
}

async function look() {
  if (document.hidden) return;
  let delay = SELDOM_MS;
  try {
    const ready = await askJson("GET", "health/ready");
    emit("readiness", ready);
    show("ready", await held(ready));
  } catch (error) {
    delay = OFTEN_MS;
    if (error instanceof Refused) show("waiting", error.message);
  }
  again(delay);
}

/** How many images the collection that is looked at holds; all, or nothing, where this key may not ask. */
async function held(ready) {
  if (can("GET", "/collections/{name}")) {
    try {
      return counted((await askJson("GET", `collections/${currentCollection() ?? "default"}`)).images, "image");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  return ready.gallery_size === null ? "" : counted(ready.gallery_size, "image");
}

function show(state, words) {
  const link = document.getElementById("readiness");
  link.dataset.state = state;
  const names = { ready: "Ready", waiting: "Not ready", away: "Lost" };
  document.getElementById("readiness-words").textContent = words ? `${names[state]}: ${words}` : names[state];
}
