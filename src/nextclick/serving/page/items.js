// What is known of items from the server's responses: titles, pictures, prices, links, categories.

import { fetchJSON } from "./api.js";
import { html, Component } from "./html.js";
import { keyOf } from "./ids.js";

const MAX_LOOKUP = 1000; // items of a request
const titles = new Map();
const details = new Map(); // key of an id to its details; null while they are requested
let pictured = false; // whether any item has a picture

/** Store the titles of ids; a server without titles sends none. */
export const learn = (ids, known) => known?.forEach((title, n) => titles.set(keyOf(ids[n]), title));

/** Request what the server knows of ids, each once; returns whether anything is new. */
export async function lookUp(ids, model) {
  const missing = [...new Map(ids.map((id) => [keyOf(id), id])).values()].filter((id) => !details.has(keyOf(id)));
  if (missing.length === 0) return false;
  for (const id of missing) details.set(keyOf(id), null);
  const { answer } = await fetchJSON("v1/items", { model, items: missing.slice(0, MAX_LOOKUP) });
  for (const item of answer?.items ?? []) {
    details.set(keyOf(item.item), item);
    titles.set(keyOf(item.item), item.title);
    pictured ||= item.image !== null;
  }
  if (!answer) for (const id of missing) details.delete(keyOf(id)); // to be requested again
  return answer !== undefined;
}

const titleOf = (id) => titles.get(keyOf(id)) ?? null;
const detailsOf = (id) => details.get(keyOf(id)) ?? {};

/** The title of an item, or its id. */
export const called = (id) => titleOf(id) ?? String(id);

/** Title and id, or the id alone; the tooltip shows the full title. */
export function named(id) {
  const title = titleOf(id);
  if (title === null) return String(id);
  return html`<span class="title" title=${title}>${title}</span> <span class="raw">${String(id)}</span>`;
}

/** The picture of an item; an empty frame if only others have one, nothing if none has. */
export function picture(id) {
  if (!pictured) return null;
  const { image } = detailsOf(id);
  return html`<span class="picture">${image && html`<${Picture} key=${image} address=${image} />`}</span>`;
}

class Picture extends Component {
  state = { failed: false };

  render({ address }, { failed }) {
    if (failed) return null; // the frame stays
    return html`<img src=${address} alt="" width="48" height="48" loading="lazy" decoding="async"
      referrerpolicy="no-referrer" onError=${() => this.setState({ failed: true })} />`;
  }
}

/** Price, category and link of an item, or nothing. */
export function facts(id) {
  const { price, category, url } = detailsOf(id);
  if (!price && !category && !url) return null;
  return html`<span class="facts">${[
    price && html`<span class="price">${price}</span>`,
    category && html`<span>${category}</span>`,
    url && html`<a href=${url} target="_blank" rel="noopener noreferrer" aria-label=${`${called(id)} in the shop, opens a new tab`}>In the shop</a>`,
  ].filter(Boolean)}</span>`;
}
