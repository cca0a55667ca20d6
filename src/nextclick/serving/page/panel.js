// One model: what is known of it, response time and recommendations; or the error.

import { html } from "./html.js";
import { keyOf } from "./ids.js";
import { Differences } from "./differences.js";
import { Problem } from "./problem.js";
import { Ranking } from "./ranking.js";
import { About } from "./versions.js";

export function Panel({ state, at }) {
  const panel = state.panels[at];
  const model = state.model(at);
  const two = state.chosen[0] !== null && state.chosen[1] !== null;
  const other = two ? { answer: state.panels[1 - at].answer, name: state.chosen[1 - at] } : null;
  return html`<section class=${`panel panel-${at}`} aria-labelledby=${`panel-${at}`} aria-busy=${panel.busy}>
    <${Header} state=${state} at=${at} />
    ${panel.problem && html`<${Problem} problem=${panel.problem} again=${() => state.requestAll([at])} />`}
    ${panel.answer && html`
      <${Latency} times=${panel.times} />
      ${panel.answer.note && html`<p class="note">${sentence(panel.answer.note)}</p>`}
      <${Ranking} state=${state} at=${at} name=${model.name} answer=${panel.answer} before=${panel.before} other=${other}
        clicked=${clickedIn(state)} />`}
  </section>`;
}

/** Both models on a narrow screen: their facts, then one list. */
export function BothPanels({ state }) {
  return html`<section class="panel both" aria-label=${`${state.chosen[0]} and ${state.chosen[1]}`}
    aria-busy=${state.panels.some((panel) => panel.busy)}>
    ${[0, 1].map((at) => html`<div key=${at} class=${`panel-${at}`}>
      <${Header} state=${state} at=${at} />
      ${state.panels[at].problem && html`<${Problem} problem=${state.panels[at].problem} again=${() => state.requestAll([at])} />`}
      ${state.panels[at].answer?.note && html`<p class="note">${sentence(state.panels[at].answer.note)}</p>`}
    </div>`)}
    ${state.panels.some((panel) => panel.answer) && html`<${Differences} state=${state} clicked=${clickedIn(state)} />`}
  </section>`;
}

function Header({ state, at }) {
  const model = state.model(at);
  return html`<header>
    <h2 id=${`panel-${at}`}>${model.name}</h2>
    <${About} state=${state} at=${at} model=${model} />
  </header>`;
}

const clickedIn = (state) => new Set(state.clicks.map((click) => keyOf(click.id)));

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

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
