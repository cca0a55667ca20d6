// Why an item is recommended: its rank without each click, and the sessions that voted for it.

import { fetchJSON } from "./api.js";
import { html, Component } from "./html.js";
import { keyOf } from "./ids.js";
import { called, named } from "./items.js";
import { Problem } from "./problem.js";

const MAX_ITEMS = 12; // of a session that voted

export class Why extends Component {
  state = { answer: null, problem: null };

  componentDidMount() {
    this.request();
  }

  componentWillUnmount() {
    this.control?.abort();
  }

  request = async () => {
    const { state, at, id } = this.props;
    this.control = new AbortController();
    let result;
    try {
      result = await fetchJSON("v1/explain", state.explainBody(at, id), this.control.signal);
    } catch {
      return; // the explanation was closed
    }
    const { answer, problem } = result;
    if (answer) state.learnExplanation(at, answer);
    this.setState({ answer: answer ?? null, problem: problem ?? null });
    state.announce(answer ? summary(answer) : problem.problem);
  };

  render({ id, clicked }, { answer, problem }) {
    return html`<section class="why" aria-label=${`Why ${called(id)}?`} aria-busy=${!answer && !problem}>
      ${problem && html`<${Problem} problem=${problem} again=${this.request} />`}
      ${!answer && !problem && html`<p class="hint">Leaving out each click in turn…</p>`}
      ${answer && Reasons({ answer, id, clicked })}
    </section>`;
  }
}

function Reasons({ answer, id, clicked }) {
  return html`
    <p class="summary">${summary(answer)}${clicked.has(keyOf(id)) && " It was already clicked in this session."}</p>
    ${Effects(answer)}
    ${Voters(answer, id, clicked)}
    ${Terms(answer)}
    ${Attention(answer)}`;
}

const ranked = (rank) => `rank ${rank.toLocaleString("en-US")}`;

/** By how much each click raises the lead of the item. */
const effectsOf = ({ now, without }) => without.map((one) => now.above_mean[0] - one.above_mean[0]);

/** The explanation in one or two sentences. */
function summary(answer) {
  const { now, without, clicks } = answer;
  const rank = now.ranks[0];
  if (rank === null) return "The model does not recommend this item for the session; it was added because it is popular.";
  const here = `It has ${ranked(rank)} in the whole catalog.`;
  if (clicks.length === 1) return `${here} The only click of the session is “${called(clicks[0])}”.`;
  const effects = effectsOf(answer);
  const most = effects.indexOf(Math.max(...effects));
  if (effects[most] <= 0) return `${here} No single click speaks for it: without any one of them its rank stays or improves.`;
  return `${here} The click that matters most is “${called(clicks[most])}”: without it, ${after(rank, without[most].ranks[0])}.`;
}

function after(rank, without) {
  if (without === null) return "the item would not be recommended";
  if (without === rank) return `the item would keep ${ranked(rank)}, with a smaller lead`;
  return without > rank ? `the item would fall to ${ranked(without)}` : `the item would rise to ${ranked(without)}`;
}

function effect(rank, without) {
  if (without === null) return rank === null ? "not recommended either way" : "not recommended";
  if (without === rank) return `stays at ${without}`;
  return rank === null || without < rank ? `rises to ${without.toLocaleString("en-US")}` : `falls to ${without.toLocaleString("en-US")}`;
}

function Effects(answer) {
  const { clicks, now, without } = answer;
  const effects = effectsOf(answer);
  const largest = Math.max(...effects.map(Math.abs), 1e-9);
  return html`<h3>Without this click, the rank…</h3>
    <ol class="effects">
      ${clicks.map((id, n) => html`<li key=${n}>
        <span class="id">${named(id)}</span>
        <span class="bar ${effects[n] < 0 ? "against" : ""}" style=${{ "--part": Math.abs(effects[n]) / largest }}></span>
        <span class="figure">${effect(now.ranks[0], without[n].ranks[0])}${effects[n] < 0 && html`<span class="aside"> · speaks against it</span>`}</span>
      </li>`)}
    </ol>
    <p class="hint">The longer the bar, the more the click speaks for the item. Ranks count all items, without filters.</p>`;
}

function Voters({ neighbors }, id, clicked) {
  const known = neighbors.filter((one) => one.items !== null);
  if (known.length === 0) return null;
  const largest = Math.max(...known.map((one) => one.vote), 1e-9);
  return html`<h3>Sessions of earlier visitors that voted for it</h3>
    <ol class="voters">
      ${known.map((one, n) => html`<li key=${n}>
        <p class="ids">${one.items.slice(0, MAX_ITEMS).map((item) => Item(item, id, clicked))}
          ${one.items.length > MAX_ITEMS && html`<span class="aside">and ${one.items.length - MAX_ITEMS} more</span>`}</p>
        <p class="weight"><span class="bar" style=${{ "--part": one.vote / largest }}></span>
          <span class="figure">${one.count === 1 ? "1 session" : `${one.count.toLocaleString("en-US")} sessions`}, vote ${one.vote.toPrecision(3)}</span></p>
      </li>`)}
    </ol>
    <p class="hint">Items that this session clicked too are <mark>marked</mark>; the explained item is <strong>bold</strong>.</p>`;
}

function Item(item, explained, clicked) {
  const key = keyOf(item);
  const name = key === keyOf(explained) ? html`<strong>${named(item)}</strong>` : named(item);
  return clicked.has(key) ? html`<mark class="id">${name}</mark> ` : html`<span class="id">${name}</span> `;
}

function Terms({ parts, clicks, now }) {
  if (parts === null) return null;
  const terms = [
    ...clicks.map((id, n) => [`click ${n + 1}: ${called(id)}`, parts.clicks[n][0]]),
    ...Object.entries(parts.rest).map(([name, values]) => [name, values[0]]),
  ].filter(([, value]) => value !== 0);
  return html`<details class="more">
    <summary>How the score ${number(now.scores[0])} adds up</summary>
    ${terms.length === 0 && html`<p class="hint">Nothing contributes to it.</p>`}
    <dl class="terms">${terms.map(([name, value], n) => html`<div key=${n}><dt>${name}</dt><dd>${number(value)}</dd></div>`)}</dl>
  </details>`;
}

function Attention({ attention, clicks }) {
  if (attention.length === 0) return null;
  const { layer, clicks: positions, weights } = attention.at(-1);
  const largest = Math.max(...weights.map(Math.abs), 1e-9);
  return html`<details class="more">
    <summary>What the model reads: ${layer}</summary>
    <ol class="weights">
      ${positions.map((position, n) => html`<li key=${n}>
        <span class="id">${named(clicks[position])}</span>
        <span class="bar" style=${{ "--part": Math.abs(weights[n]) / largest }}></span>
        <span class="figure">${weights[n].toFixed(3).replace("-", "−")}</span>
      </li>`)}
    </ol>
    <p class="hint">Attention shows what is read, not what it leads to; the ranks above show the effect.</p>
  </details>`;
}

const number = (value) => value.toPrecision(3).replace("-", "−");
