// Titles of items, as the server has told them.

import { html } from "./html.js";
import { keyOf } from "./ids.js";

const known = new Map();

/** Keep the titles of some ids; there are none in an answer of a server without titles. */
export const learn = (ids, titles) => titles?.forEach((title, n) => known.set(keyOf(ids[n]), title));

const titleOf = (id) => known.get(keyOf(id)) ?? null;

/** What an item is called where there is room for one word. */
export const called = (id) => titleOf(id) ?? String(id);

/** Title and id, or the id alone; a title that is cut stands whole in its tooltip. */
export function named(id) {
  const title = titleOf(id);
  if (title === null) return String(id);
  return html`<span class="title" title=${title}>${title}</span> <span class="raw">${String(id)}</span>`;
}
