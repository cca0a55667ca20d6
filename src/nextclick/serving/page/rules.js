// Which items may be recommended. A further rule is an entry of RULES.

import { html } from "./html.js";
import { typedId } from "./ids.js";

/** name in the state and in the link, label, what the rule does, and its part of a request. */
export const RULES = [
  {
    name: "excludeSeen", link: "seen", kind: "switch", label: "Exclude clicked items",
    hint: "Items of the session are not recommended again; the next best ones move up.",
    body: () => ({ exclude_seen: true }),
  },
  {
    name: "allow", link: "allow", kind: "ids", label: "Only these items",
    hint: "Ids, separated by commas. No other item is recommended, such as for the page of a brand.",
    body: (ids) => ({ allow: ids }),
  },
  {
    name: "block", link: "block", kind: "ids", label: "Never these items",
    hint: "Ids, separated by commas. They are not recommended, such as when they are sold out.",
    body: (ids) => ({ block: ids }),
  },
  {
    name: "diversity", link: "div", kind: "share", label: "Diversity",
    hint: "From 0 to below 1, such as 0.3. Items that resemble those above them move down; more diverse lists are less accurate.",
    body: (share) => ({ diversity: Number(share) }),
  },
];

/** The values of a state without rules. */
export const noRules = () => Object.fromEntries(RULES.map(({ name, kind }) => [name, kind === "switch" ? false : ""]));

/** The fields of a request, for the active rules. */
export function ruleFields(state, sample) {
  const active = RULES.filter(({ name }) => state[name]);
  return Object.assign({}, ...active.map(({ name, kind, body }) => body(kind === "ids" ? idsOf(state[name], sample) : state[name])));
}

const idsOf = (text, sample) => text.split(",").map((id) => id.trim()).filter(Boolean).map((id) => typedId(id, sample));

export function Rules({ state }) {
  const active = RULES.filter(({ name }) => state[name]);
  const names = active.map(({ label }) => label.toLowerCase()).join(", ");
  return html`<details class="rules" open=${state.rulesOpen} onToggle=${(event) => (state.rulesOpen = event.currentTarget.open)}>
    <summary>Filters${active.length > 0 && html`: <span class="aside">${names}</span>`}</summary>
    <div class="fields">${RULES.map((rule) => Field({ state, rule }))}</div>
  </details>`;
}

function Field({ state, rule: { name, kind, label, hint } }) {
  const id = kind === "switch" ? "exclude" : name;
  if (kind === "switch")
    return html`<div class="field">
      <label class="check"><input id=${id} type="checkbox" checked=${state[name]} aria-describedby=${`${id}-hint`}
        onChange=${(event) => state.set({ [name]: event.target.checked })} /> ${label}</label>
      <p class="hint" id=${`${id}-hint`}>${hint}</p>
    </div>`;
  const type = kind === "share" ? { type: "number", min: 0, max: 0.95, step: 0.05, class: "short" } : { type: "text" };
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} ...${type} autocomplete="off" aria-describedby=${`${id}-hint`} ...${state.input(name)} />
    <p class="hint" id=${`${id}-hint`}>${hint}</p>
  </div>`;
}
