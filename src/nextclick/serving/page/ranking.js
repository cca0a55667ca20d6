// The recommendations of one model: scores, previous ranks, ranks by the other model.

import { html, Component } from "./html.js";
import { keyOf } from "./ids.js";
import { called, facts, named, picture } from "./items.js";
import { ranksOf } from "./state.js";
import { Why } from "./why.js";

const MOVE = { duration: 260, easing: "cubic-bezier(.2, .7, .2, 1)" };

export class Ranking extends Component {
  componentDidMount() {
    this.shown = this.props.answer;
  }

  getSnapshotBeforeUpdate() {
    return this.body ? topsOf(this.body) : new Map();
  }

  componentDidUpdate(_, __, tops) {
    if (!this.body || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    if (this.props.answer === this.shown) return; // an explanation was opened or closed
    this.shown = this.props.answer;
    for (const [key, top] of topsOf(this.body)) {
      const moved = (tops.get(key) ?? top) - top;
      const row = this.body.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (moved) row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], MOVE);
    }
  }

  render({ state, at, name, answer, before, other, clicked }) {
    const scale = scaleOf(answer.scores);
    const otherRanks = other?.answer ? ranksOf(other.answer.items) : null;
    return html`<table class=${`ranking${otherRanks || before ? "" : " unmarked"}`}>
      <caption class="vh">Recommendations of ${name}, best first</caption>
      <thead>
        <tr>
          <th scope="col" class="number"><span class="vh">Rank</span></th>
          <th scope="col">Item</th>
          <th scope="col" class="score">Score</th>
          ${otherRanks
            ? html`<th scope="col" class="mark" title=${`rank by ${other.name}`}>Other</th>`
            : html`<th scope="col" class="mark">Before</th>`}
        </tr>
      </thead>
      <tbody ref=${(body) => (this.body = body)}>
        ${answer.items.map((id, n) => [
          Row({ state, at, id, n, score: answer.scores[n], scale, before, otherRanks, other, clicked }),
          WhyRow({ state, at, id, clicked, columns: 4 }),
        ])}
      </tbody>
    </table>`;
  }
}

function Row({ state, at, id, n, score, scale, before, otherRanks, other, clicked }) {
  const key = keyOf(id);
  return html`<tr key=${key} data-key=${key}>
    <td class="number">${n + 1}</td>
    <th scope="row"><div class="item">${picture(id)}<div class="name">
      <button type="button" class="pick id" onClick=${() => state.click(id)}>${named(id)}</button>
      <span class="under"><${WhyButton} state=${state} at=${at} id=${id} />${clicked.has(key) && html`<span><span class="dot"></span> clicked</span>`}${facts(id)}</span>
    </div></div></th>
    <td>
      <div class="score" style=${{ "--letters": scale.letters }}>
        <span class="bar" style=${{ "--part": score === null ? 0 : scale.part(score) }}></span>
        ${score === null
          ? html`<span class="aside">${POPULAR}</span>`
          : html`<span>${scale.text(score)}</span>`}
      </div>
    </td>
    <td class="mark">${otherRanks
      ? Moved({ now: n + 1, was: otherRanks.get(key), gone: "–", long: `not in the answer of ${other.name}` })
      : before && Moved({ now: n + 1, was: before.get(key), gone: "new", long: "not in the previous answer" })}</td>
  </tr>`;
}

/** A previous rank, or the rank by the other model, with the direction of the difference. */
function Moved({ now, was, gone, long }) {
  if (was === undefined) return html`<span class="new" title=${long}>${gone}</span>`;
  if (was === now) return html`<span class="same" title="the same rank">${was}</span>`;
  const [sign, word] = now < was ? ["▲", "higher here than"] : ["▼", "lower here than"];
  const kind = now < was ? "up" : "down";
  return html`<span class=${kind} title=${`${word} ${was}`}><span aria-hidden="true">${sign} </span>${was}</span>`;
}

const POPULAR = "popular"; // shown instead of a score for an item filled from popularity

/** Bars start at 0, or at the lowest score if it is negative; all scores have equal decimals. */
function scaleOf(scores) {
  const known = scores.filter((score) => score !== null);
  const [low, high] = [Math.min(...known, 0), Math.max(...known)];
  const from = low < 0 ? Math.min(...known) : 0;
  const span = high - from || 1;
  const largest = Math.max(...known.map(Math.abs), 1e-9);
  const decimals = Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(largest))));
  const text = (score) => score.toFixed(decimals).replace("-", "−");
  const shown = scores.map((score) => (score === null ? POPULAR : text(score)));
  return {
    part: (score) => Math.max(0.02, (score - from) / span),
    text,
    letters: Math.max(...shown.map((one) => one.length)), // so that the bars of all rows align
  };
}

/** Opens and closes the explanation of an item. */
export function WhyButton({ state, at, id }) {
  const open = state.isExplained(at, id);
  return html`<button type="button" class="ask" aria-expanded=${open} aria-label=${`Why ${called(id)}?`}
    onClick=${() => state.explain(open ? null : { at, key: keyOf(id) })}>Why?</button>`;
}

/** The row below an item with its explanation, if that is open. */
export function WhyRow({ state, at, id, clicked, columns }) {
  if (!state.isExplained(at, id)) return null;
  return html`<tr key=${`why ${keyOf(id)}`} class="reason"><td colspan=${columns}>
    <${Why} state=${state} at=${at} id=${id} clicked=${clicked} />
  </td></tr>`;
}

const topsOf = (body) =>
  new Map([...body.rows].filter((row) => row.dataset.key).map((row) => [row.dataset.key, row.getBoundingClientRect().top]));
