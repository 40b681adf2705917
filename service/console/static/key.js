/** The API key: kept for this session of this tab, and nowhere else. */

import { emit } from "./events.js";

const NAME = "lka-reid.key";

/** The key, or null. */
export function currentKey() {
  return sessionStorage.getItem(NAME);
}

/** Use this key from now on; null forgets the one in use. */
export function useKey(key) {
  if (key === null) sessionStorage.removeItem(NAME);
  else sessionStorage.setItem(NAME, key);
  emit("key-changed");
}
