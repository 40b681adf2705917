/** Requests to the service with the session's key. What is refused is thrown in the service's own words. */

import { emit } from "./events.js";
import { currentKey } from "./key.js";

// Paths below the page's own: they hold behind a proxy that adds a prefix.
const BASE = new URL("./", document.URL);
const LATER = new Set([408, 429, 502, 503, 504]);

// Routes that are about one collection.
const OF_A_COLLECTION = new Set(["query", "explain", "gallery", "cameras", "verdicts", "watches", "alerts"]);
let collection = null;

/** The collection that is looked at; null for the default one. */
export const currentCollection = () => collection;

/** Look at another collection from now on; null for the default one. */
export function useCollection(name) {
  collection = name;
}

/** An answer of problem+json (RFC 9457), or another that is no success. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `the service answered ${status}`);
    this.status = status;
    this.kind = (problem.type || "").split(":").pop();
    this.title = problem.title || `The service answered ${status}`;
    this.fields = problem.errors || [];
    this.requestId = problem.request_id || null;
    this.problem = problem;
  }
}

/** No answer at all. */
export class Unreachable extends Error {
  constructor() {
    super("The service does not answer. Look whether it runs, and whether this machine reaches it.");
    this.title = "No answer";
    this.fields = [];
  }
}

/** The path of something whose id may hold slashes, which stand in a path as they are. */
export function pathOf(collection, id, ...rest) {
  return [collection, ...id.split("/").map(encodeURIComponent), ...rest].join("/");
}

/**
 * Ask; resolves to the response where it is a success.
 *
 * `fields` become a form, `json` a document. Throws Refused, Unreachable, or what aborts the signal.
 */
export async function ask(method, path, { fields, json, parameters, accept = "application/json", headers: more = {}, signal } = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of pairs(parameters)) url.searchParams.append(name, value);
  if (collection !== null && OF_A_COLLECTION.has(path.split("/")[0])) url.searchParams.append("collection", collection);
  const headers = { Accept: accept, ...more };
  if (currentKey() !== null) headers.Authorization = `Bearer ${currentKey()}`;
  let body;
  if (fields) {
    body = new FormData();
    for (const [name, value] of pairs(fields)) body.append(name, value);
  } else if (json !== undefined) {
    body = JSON.stringify(json);
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(url, { method, headers, body, signal, cache: "no-cache", credentials: "omit" });
  } catch (error) {
    if (signal?.aborted) throw error;
    emit("lost");
    throw new Unreachable();
  }
  emit("found");
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const refused = new Refused(response.status, problem);
  refused.retryAfterS = Number(response.headers.get("Retry-After")) || null;
  if (response.status === 401) emit("key-refused", refused);
  throw refused;
}

/** Ask for a JSON document. */
export async function askJson(method, path, options = {}) {
  const response = await ask(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** Ask, and again as often as the service says that it may go well later, for a minute at most. */
export async function askPatiently(method, path, options = {}) {
  const until = Date.now() + 60_000;
  for (;;) {
    try {
      return await askJson(method, path, options);
    } catch (error) {
      if (!(error instanceof Refused) || !LATER.has(error.status) || Date.now() > until) throw error;
      await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.min(error.retryAfterS || 1, 10)); });
    }
  }
}

function* pairs(values = {}) {
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") yield [name, one];
    }
  }
}
