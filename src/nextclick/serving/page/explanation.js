// The explanation of a recommendation: attention weights or neighbor sessions.

import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { named } from "./titles.js";

const MAX_ITEMS = 12; // of a neighbor session

export function Explanation({ explanation, clicked }) {
  if (!explanation) return null;
  if (explanation.kind === "attention") return Attention(explanation);
  if (explanation.kind === "neighbors") return Neighbors(explanation, clicked);
  return html`<section class="why"><h3>Explanation</h3><p class="hint">Not available: ${explanation.note}.</p></section>`;
}

function Attention({ clicks, weights }) {
  const largest = Math.max(...weights.map(Math.abs), 1e-9);
  return html`<section class="why">
    <h3>Attention to each click</h3>
    <ol class="weights">
      ${clicks.map(
        (id, n) => html`<li key=${n}>
          <span class="id">${named(id)}</span>
          <span class="bar" style=${{ "--part": Math.abs(weights[n]) / largest }}></span>
          <span class="figure">${weights[n].toFixed(3).replace("-", "−")}</span>
        </li>`,
      )}
    </ol>
  </section>`;
}

function Neighbors({ neighbors }, clicked) {
  if (neighbors.length === 0)
    return html`<section class="why"><h3>Neighbor sessions</h3><p class="hint">No similar training session.</p></section>`;
  const largest = Math.max(...neighbors.map((one) => one.vote), 1e-9);
  return html`<section class="why">
    <h3>Neighbor sessions with the largest votes</h3>
    <ol class="voters">
      ${neighbors.map(
        (one, n) => html`<li key=${n}>
          <p class="ids">${one.items.slice(0, MAX_ITEMS).map((id) => Item(id, clicked.has(keyOf(id))))}
            ${one.items.length > MAX_ITEMS && html`<span class="aside">and ${one.items.length - MAX_ITEMS} more</span>`}</p>
          <p class="weight"><span class="bar" style=${{ "--part": one.vote / largest }}></span>
            <span class="figure">vote ${one.vote.toPrecision(3)}, similarity ${one.similarity.toPrecision(3)}</span></p>
        </li>`,
      )}
    </ol>
    <p class="hint">Items clicked in this session are <mark>marked</mark>.</p>
  </section>`;
}

const Item = (id, clicked) =>
  clicked ? html`<mark class="id">${named(id)}</mark> ` : html`<span class="id">${named(id)}</span> `;
