// An error of the server, with its remedy.

import { isTransient } from "./api.js";
import { html } from "./html.js";

export function Problem({ problem, again }) {
  return html`<div class="problem" role="alert">
    <h3>${problem.title}${problem.status > 0 && html` <span class="aside">${problem.status}</span>`}</h3>
    <dl>
      ${problem.field && html`<dt>Field</dt><dd><code>${problem.field}</code></dd>`}
      <dt>Problem</dt><dd>${problem.problem}</dd>
      <dt>Remedy</dt><dd>${problem.remedy}</dd>
    </dl>
    ${again && isTransient(problem) && html`<button type="button" onClick=${again}>Retry</button>`}
  </div>`;
}
