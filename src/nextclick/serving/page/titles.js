// Item titles from the server's responses.

import { html } from "./html.js";
import { keyOf } from "./ids.js";

const known = new Map();

/** Store the titles of ids; a server without titles sends none. */
export const learn = (ids, titles) => titles?.forEach((title, n) => known.set(keyOf(ids[n]), title));

const titleOf = (id) => known.get(keyOf(id)) ?? null;

/** The title of an item, or its id. */
export const called = (id) => titleOf(id) ?? String(id);

/** Title and id, or the id alone; the tooltip shows the full title. */
export function named(id) {
  const title = titleOf(id);
  if (title === null) return String(id);
  return html`<span class="title" title=${title}>${title}</span> <span class="raw">${String(id)}</span>`;
}
