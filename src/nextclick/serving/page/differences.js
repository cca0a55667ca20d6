// Two models in one list, for narrow screens: the rank by each, and the difference.

import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { facts, named, picture } from "./items.js";
import { ranksOf } from "./state.js";
import { WhyButton, WhyRow } from "./ranking.js";

/** Items of both lists: by rank in the first, then those of the second alone. */
export function union(first, second) {
  const known = ranksOf(first);
  return [...first, ...second.filter((id) => !known.has(keyOf(id)))];
}

export function Differences({ state, clicked }) {
  const answers = state.panels.map((panel) => panel.answer?.items ?? []);
  const ranks = answers.map(ranksOf);
  const [one, other] = state.chosen;
  return html`<table class="ranking both">
    <caption class="vh">Ranks by ${one} and by ${other}</caption>
    <thead><tr>
      <th scope="col">Item</th>
      <th scope="col" class="mark first">${one}</th>
      <th scope="col" class="mark second">${other}</th>
    </tr></thead>
    <tbody>
      ${union(...answers).map((id) => {
        const key = keyOf(id);
        const [a, b] = ranks.map((known) => known.get(key));
        const at = a === undefined ? 1 : 0; // the model that explains it
        return [
          html`<tr key=${key} data-key=${key}>
            <th scope="row"><div class="item">${picture(id)}<div class="name">
              <button type="button" class="pick id" onClick=${() => state.click(id)}>${named(id)}</button>
              <span class="under"><${WhyButton} state=${state} at=${at} id=${id} />${clicked.has(key) && html`<span><span class="dot"></span> clicked</span>`}${facts(id)}</span>
            </div></div></th>
            <td class="mark">${a ?? "–"}</td>
            <td class="mark">${b ?? "–"} ${Step(a, b)}</td>
          </tr>`,
          WhyRow({ state, at, id, clicked, columns: 3 }),
        ];
      })}
    </tbody>
  </table>`;
}

/** The difference of the second rank to the first. */
function Step(a, b) {
  if (a === undefined || b === undefined || a === b) return null;
  const higher = b < a;
  return html`<span class=${higher ? "up" : "down"}><span aria-hidden="true">${higher ? "▲" : "▼"}</span
    ><span class="vh">${higher ? "higher by" : "lower by"}</span> ${Math.abs(a - b)}</span>`;
}
