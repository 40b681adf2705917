/** What the service can do, and what this key may: the console shows nothing beyond either. */

import { askJson } from "./api.js";

let description = { paths: {}, components: { schemas: {} } };
let access = { key: null, scopes: [] };

/** Learn both anew. Throws what `askJson` throws; 401 where a key is needed. */
export async function learn() {
  access = await askJson("GET", "access");
  description = await askJson("GET", "openapi.json");
}

/** The key in use, as the service knows it; null where it needs none. */
export function keyInUse() {
  return access.key;
}

/** Whether the service has the route and this key's scopes permit it. */
export function can(method, path) {
  const operation = description.paths[path]?.[method.toLowerCase()];
  if (!operation) return false;
  const needed = (operation.security || []).flatMap((scheme) => Object.values(scheme).flat());
  return needed.length === 0 || needed.some((scope) => access.scopes.includes(scope));
}

/** Whether a route's form, or a route's URL, takes a value of this name. */
export function takes(method, path, name) {
  return valueOf(method, path, name) !== undefined;
}

/** The JSON schema of a value that a route takes, in its form, its document or its URL; undefined for none. */
export function valueOf(method, path, name) {
  const operation = description.paths[path]?.[method.toLowerCase()];
  if (!operation) return undefined;
  const parameter = (operation.parameters || []).find((one) => one.name === name);
  if (parameter) return parameter.schema;
  for (const content of Object.values(operation.requestBody?.content || {})) {
    const found = resolved(content.schema)?.properties?.[name];
    if (found) return found;
  }
  return undefined;
}

function resolved(schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? description.components.schemas[name] : schema;
}
