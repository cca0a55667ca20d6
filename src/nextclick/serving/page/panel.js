// One model: version, response time, recommendations and explanation; or the error.

import { isTransient } from "./api.js";
import { Explanation } from "./explanation.js";
import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { Ranking } from "./ranking.js";

export function Panel({ state, at }) {
  const panel = state.panels[at];
  const model = state.model(at);
  const two = state.chosen[0] !== null && state.chosen[1] !== null;
  const other = two ? { answer: state.panels[1 - at].answer, name: state.chosen[1 - at] } : null;
  return html`<section class=${`panel panel-${at}`} aria-labelledby=${`panel-${at}`} aria-busy=${panel.busy}>
    <header>
      <h2 id=${`panel-${at}`}>${model.name}</h2>
      <p class="aside">${about(model)}</p>
    </header>
    ${panel.problem && html`<${Problem} problem=${panel.problem} again=${() => state.requestAll([at])} />`}
    ${panel.answer && Answer({ state, panel, model, other })}
  </section>`;
}

function Answer({ state, panel, model, other }) {
  const { answer, before, times } = panel;
  const clicked = new Set(state.clicks.map((click) => keyOf(click.id)));
  return html`
    <${Latency} times=${times} />
    ${answer.note && html`<p class="note">${sentence(answer.note)}</p>`}
    <div class="found">
      <${Ranking} name=${model.name} answer=${answer} before=${before} other=${other}
        clicked=${clicked} onPick=${(id) => state.click(id)} />
      <${Explanation} explanation=${answer.explanation} clicked=${clicked} />
    </div>
  `;
}

export function Problem({ problem, again }) {
  return html`<div class="problem" role="alert">
    <h3>${problem.title}${problem.status > 0 && html` <span class="aside">${problem.status}</span>`}</h3>
    <dl>
      ${problem.field && html`<dt>Field</dt><dd><code>${problem.field}</code></dd>`}
      <dt>Problem</dt><dd>${problem.problem}</dd>
      <dt>Remedy</dt><dd>${problem.remedy}</dd>
    </dl>
    ${isTransient(problem) && html`<button type="button" onClick=${again}>Retry</button>`}
  </div>`;
}

function Latency({ times }) {
  const last = times.at(-1);
  const sorted = times.map((time) => time.ms).sort((a, b) => a - b);
  const largest = sorted.at(-1);
  return html`<p class="latency">
    <span class="ticks" aria-hidden="true">
      ${times.map((time, n) => html`<i key=${n} style=${{ "--part": time.ms / largest }}></i>`)}
    </span>
    <span>Response time <b>${milliseconds(last.ms)}</b>${last.serverMs !== null &&
      html`, <b>${milliseconds(last.serverMs)}</b> on the server`}${times.length > 2 &&
      html` · median ${milliseconds(sorted[Math.floor(sorted.length / 2)])}`}</span>
  </p>`;
}

const milliseconds = (ms) => `${ms.toFixed(ms < 10 ? 1 : 0)}\u00a0ms`;

function about({ name, model, version, items, reads }) {
  const parts = [`version ${version}`, `${items.toLocaleString("en-US")} items`];
  if (model !== name) parts.unshift(model);
  if (reads.length) parts.push(`reads ${reads.join(" and ")}`);
  return parts.join(" · ");
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
