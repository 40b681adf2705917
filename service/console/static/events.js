/** What one part of the console tells the others. */

const target = new EventTarget();

/** Tell all who listen. */
export function emit(name, detail = null) {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Listen: `access-learnt`, `key-changed`, `key-refused`, `lost`, `found`, `recovered`,
 * `gallery-changed`, `collection-changed`, `search-with`, `watches-changed`, `alert`. */
export function on(name, listener) {
  target.addEventListener(name, (event) => listener(event.detail));
}
