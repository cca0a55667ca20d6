// The request: models, number of items, filters.

import { html } from "./html.js";
import { Rules } from "./rules.js";

export function Controls({ state }) {
  const { models, chosen, useTimes } = state;
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
      <input id="k" type="number" class="short" min="1" ...${state.input("k")} />
    </label>
    ${state.reads("users") &&
    html`<label>Visitor
      <input id="user" type="text" class="short" autocomplete="off" placeholder="anonymous" ...${state.input("user")} />
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
