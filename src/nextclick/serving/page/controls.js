// The request: models, number of items, filters.

import { html } from "./html.js";
import { Rules } from "./rules.js";

export function Controls({ state }) {
  const { models, chosen, k, useTimes, user } = state;
  return html`<form class="controls" aria-label="Request" onSubmit=${(event) => event.preventDefault()}>
    <label>Model
      <select id="model" value=${chosen[0]} onChange=${(event) => state.choose(0, event.target.value)}>
        ${models.map((model) => html`<option key=${model.name} value=${model.name}>${model.name}</option>`)}
      </select>
    </label>
    <label>Compare with
      <select id="beside" value=${chosen[1] ?? ""} onChange=${(event) => state.choose(1, event.target.value)}>
        <option value="">no model</option>
        ${models.map((model) => html`<option key=${model.name} value=${model.name}>${model.name}</option>`)}
      </select>
    </label>
    <label>Number of items
      <input id="k" type="number" class="short" min="1" value=${k}
        onChange=${(event) => state.set({ k: event.target.value })} />
    </label>
    ${state.reads("users") &&
    html`<label>Visitor
      <input id="user" type="text" class="short" autocomplete="off" value=${user} placeholder="anonymous"
        onChange=${(event) => state.set({ user: event.target.value.trim() })} />
    </label>`}
    ${state.reads("times") &&
    html`<label class="check">
      <input id="times" type="checkbox" checked=${useTimes}
        onChange=${(event) => state.set({ useTimes: event.target.checked })} />
      Use click times
    </label>`}
    <${Rules} state=${state} />
  </form>`;
}
