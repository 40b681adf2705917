/** Alerts as they are raised: one stream for the page, which goes on after the last alert when it ends. */

import { emit, on } from "./events.js";
import { ask, Refused } from "./api.js";
import { can } from "./service.js";

const AGAIN_MS = 3000;
let listening = null;
let unheard = false;

/** Listen with the key in use and of the collection that is looked at; what was listened to before ends. */
function listen() {
  listening?.abort();
  listening = null;
  if (!can("GET", "/alerts/events")) return;
  listening = new AbortController();
  follow(listening.signal);
}

on("access-learnt", listen);
on("collection-changed", listen);

async function follow(signal) {
  let last = null;
  while (!signal.aborted) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const response = await ask("GET", "alerts/events", { accept: "text/event-stream", headers, signal });
      tell(null);
      for await (const event of eventsIn(response.body)) {
        last = event.id;
        emit("alert", JSON.parse(event.data));
      }
    } catch (error) {
      // What is refused for good is so until a key or a collection changes.
      if (signal.aborted || (error instanceof Refused && ![429, 503].includes(error.status))) return;
      if (error instanceof Refused) tell(error);
    }
    await new Promise((resolve) => { setTimeout(resolve, AGAIN_MS); });
  }
}

/** Tell that alerts do not come by themselves for now, and why; null once they do. */
function tell(error) {
  if (unheard === (error !== null)) return;
  unheard = error !== null;
  emit("alerts-unheard", error);
}

/** The events of a stream (WHATWG HTML, 9.2) that have data. */
async function* eventsIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").filter((line) => !line.startsWith(":"))
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.data) yield fields;
    }
  }
}
