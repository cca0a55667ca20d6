// What one model answers: the items with their scores, where they stood, where the other has them.

import { html, Component } from "./html.js";
import { keyOf } from "./ids.js";
import { ranksOf } from "./state.js";
import { named } from "./titles.js";

const MOVE = { duration: 260, easing: "cubic-bezier(.2, .7, .2, 1)" };

export class Ranking extends Component {
  getSnapshotBeforeUpdate() {
    return this.body ? topsOf(this.body) : new Map();
  }

  componentDidUpdate(_, __, tops) {
    if (!this.body || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const [key, top] of topsOf(this.body)) {
      const moved = (tops.get(key) ?? top) - top;
      const row = this.body.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (moved) row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], MOVE);
    }
  }

  render({ name, answer, before, other, clicked, onPick }) {
    const scale = scaleOf(answer.scores);
    const theirs = other?.answer ? ranksOf(other.answer.items) : null;
    return html`<table class="ranking">
      <caption class="vh">What ${name} recommends, best first</caption>
      <thead>
        <tr>
          <th scope="col" class="number"><span class="vh">Rank</span></th>
          <th scope="col">Item</th>
          <th scope="col" class="score">Score</th>
          <th scope="col" class="mark">Before</th>
          ${theirs && html`<th scope="col" class="mark" title=${`rank by ${other.name}`}>Other</th>`}
        </tr>
      </thead>
      <tbody ref=${(body) => (this.body = body)}>
        ${answer.items.map((id, n) =>
          Row({ id, n, score: answer.scores[n], scale, before, theirs, other, clicked, onPick }),
        )}
      </tbody>
    </table>`;
  }
}

function Row({ id, n, score, scale, before, theirs, other, clicked, onPick }) {
  const key = keyOf(id);
  return html`<tr key=${key} data-key=${key}>
    <td class="number">${n + 1}</td>
    <th scope="row">
      <button type="button" class="pick id" onClick=${() => onPick(id)}>${named(id)}</button>
      ${clicked.has(key) && html`<span class="dot" title="clicked already"><span class="vh">clicked already</span></span>`}
    </th>
    <td>
      <div class="score" style=${{ "--letters": scale.letters }}>
        <span class="bar" style=${{ "--part": score === null ? 0 : scale.part(score) }}></span>
        ${score === null
          ? html`<span class="aside">${POPULAR}</span>`
          : html`<span>${scale.text(score)}</span>`}
      </div>
    </td>
    <td class="mark">${before && Moved({ now: n + 1, was: before.get(key), gone: "new", long: "not shown before" })}</td>
    ${theirs &&
    html`<td class="mark">
      ${Moved({ now: n + 1, was: theirs.get(key), gone: "–", long: `not shown by ${other.name}` })}
    </td>`}
  </tr>`;
}

/** An earlier or another rank, with an arrow to the side on which this one is. */
function Moved({ now, was, gone, long }) {
  if (was === undefined) return html`<span class="new" title=${long}>${gone}</span>`;
  if (was === now) return html`<span class="same" title="the same rank">${was}</span>`;
  const [sign, word] = now < was ? ["▲", "higher here, there"] : ["▼", "lower here, there"];
  const kind = now < was ? "up" : "down";
  return html`<span class=${kind} title=${`${word} ${was}`}><span aria-hidden="true">${sign} </span>${was}</span>`;
}

const POPULAR = "popular"; // what stands for a score of an item that was filled in

/** Bars from 0 where no score is below it, else from the lowest one; one number of decimals for all. */
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
    letters: Math.max(...shown.map((one) => one.length)), // so that bars of all rows compare
  };
}

const topsOf = (body) =>
  new Map([...body.rows].map((row) => [row.dataset.key, row.getBoundingClientRect().top]));
