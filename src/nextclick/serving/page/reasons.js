// Why a model answers what it does, as far as it can say.

import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { named } from "./titles.js";

const ITEMS = 12; // of a neighbor session

export function Reasons({ reasons, clicked }) {
  if (!reasons) return null;
  if (reasons.kind === "attention") return Attention(reasons);
  if (reasons.kind === "neighbors") return Neighbors(reasons, clicked);
  return html`<section class="why"><h3>Why</h3><p class="hint">No reasons: ${reasons.note}.</p></section>`;
}

function Attention({ clicks, weights }) {
  const most = Math.max(...weights.map(Math.abs), 1e-9);
  return html`<section class="why">
    <h3>Attention to each click</h3>
    <ol class="weights">
      ${clicks.map(
        (id, n) => html`<li key=${n}>
          <span class="id">${named(id)}</span>
          <span class="bar" style=${{ "--part": Math.abs(weights[n]) / most }}></span>
          <span class="figure">${weights[n].toFixed(3).replace("-", "−")}</span>
        </li>`,
      )}
    </ol>
  </section>`;
}

function Neighbors({ neighbors }, clicked) {
  if (neighbors.length === 0)
    return html`<section class="why"><h3>Neighbor sessions</h3><p class="hint">No session of the log is near.</p></section>`;
  const most = Math.max(...neighbors.map((one) => one.vote), 1e-9);
  return html`<section class="why">
    <h3>Sessions of the log that vote most</h3>
    <ol class="voters">
      ${neighbors.map(
        (one, n) => html`<li key=${n}>
          <p class="ids">${one.items.slice(0, ITEMS).map((id) => Item(id, clicked.has(keyOf(id))))}
            ${one.items.length > ITEMS && html`<span class="aside">and ${one.items.length - ITEMS} more</span>`}</p>
          <p class="weight"><span class="bar" style=${{ "--part": one.vote / most }}></span>
            <span class="figure">vote ${one.vote.toPrecision(3)}, similarity ${one.similarity.toPrecision(3)}</span></p>
        </li>`,
      )}
    </ol>
    <p class="hint">Items that this session has clicked are <mark>marked</mark>.</p>
  </section>`;
}

const Item = (id, clicked) =>
  clicked ? html`<mark class="id">${named(id)}</mark> ` : html`<span class="id">${named(id)}</span> `;
