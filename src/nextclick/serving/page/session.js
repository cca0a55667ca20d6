// The clicks of the session.

import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { called, named, picture } from "./items.js";

const SOURCES = {
  "training-session": "A session of the training log, drawn at random.",
  "training-items": "The items of a session of the training log, drawn at random. The model does not store their order.",
  "popular-items": "Popular items, drawn at random: this model stores no sessions.",
};

export function Session({ state, unknown }) {
  const { clicks, useTimes } = state;
  if (clicks.length === 0) return html`<p class="hint">No clicks yet.</p>`;
  return html`<ol class="clicks" aria-label="Clicks in order">
      ${clicks.map((click, n) => Click({ state, click, n, unknown: unknown.has(keyOf(click.id)) }))}
    </ol>
    ${useTimes && Prediction({ state })}
    ${state.source && html`<p class="hint" id="source">${SOURCES[state.source]}</p>`}`;
}

function Click({ state, click, n, unknown }) {
  return html`<li>
    ${picture(click.id)}<span class="id">${named(click.id)}</span>
    ${unknown && html`<span class="tag">unknown to the model</span>`}
    ${state.useTimes &&
    n > 0 &&
    html`<${Seconds} value=${click.gap} label=${`seconds before click ${n + 1}`}
      onValue=${(gap) => state.setGap(n, gap)} />`}
    <button type="button" class="quiet" aria-label=${`Remove click ${n + 1}, ${called(click.id)}`}
      onClick=${() => state.remove(n)}>×</button>
  </li>`;
}

const Prediction = ({ state }) => html`<p class="prediction">
  <span class="id">prediction</span>
  <${Seconds} value=${state.wait} label="seconds from the last click to the prediction"
    onValue=${(wait) => state.set({ wait })} />
</p>`;

function Seconds({ value, label, onValue }) {
  const change = (event) => {
    const seconds = event.target.valueAsNumber;
    if (Number.isFinite(seconds)) onValue(seconds);
  };
  return html`<span class="seconds">
    <input type="number" step="any" aria-label=${label} value=${value} onChange=${change} />
    <span>s later</span>
  </span>`;
}
