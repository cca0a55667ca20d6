// How good and how old a model is, and the change of its version.

import { fetchJSON } from "./api.js";
import { html, Component } from "./html.js";
import { Problem } from "./problem.js";

const WHERE = {
  publication: "measured on new sessions before it was published",
  validation: "measured on the end of its training log",
};

export function About({ state, at, model }) {
  return html`<dl class="about">
    <div><dt>Accuracy</dt><dd>${accuracy(model.accuracy)}</dd></div>
    <div><dt>Age</dt><dd>${age(model)}</dd></div>
    <div><dt>Version</dt><dd>${model.version} of ${model.model}, ${model.items.toLocaleString("en-US")} items${model.reads.length > 0 && `, reads ${model.reads.join(" and ")}`}</dd></div>
  </dl>
  ${model.versions.length > 1 && html`<${Versions} key=${model.name} state=${state} at=${at} model=${model} />`}`;
}

function accuracy(found) {
  if (found === null) return "unknown: the model states none";
  const { metric, value, measured } = found;
  const [, name, k] = /^(\w+)@(\d+)$/.exec(metric) ?? [];
  const text = ["recall", "hitrate", "hit-rate"].includes(name)
    ? `${(100 * value).toFixed(1)} % of the next clicks are among the first ${k} items`
    : `${metric} ${value.toFixed(3)}`;
  return `${text}, ${WHERE[measured] ?? measured}`;
}

function age({ last_click, published }) {
  const clicks = last_click === null ? "last training click unknown" : `clicks until ${date(last_click * 1000)}`;
  return published === null ? clicks : `${clicks}, published ${date(published)}`;
}

const date = (time) => new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

class Versions extends Component {
  state = { selected: null, token: "", problem: null, done: "" };

  activate = async (version) => {
    const { state, model } = this.props;
    this.setState({ problem: null, done: "" });
    const headers = { Authorization: `Bearer ${this.state.token.trim()}` };
    const { answer, problem } = await fetchJSON("v1/models/activate", { model: model.name, version }, undefined, headers);
    this.setState({ problem: problem ?? null, done: answer ? `${version} is active for all visitors.` : "", selected: null });
    if (answer) state.replaceModel(answer);
  };

  render({ at, model }, { selected, token, problem, done }) {
    const active = model.versions.indexOf(model.version);
    const previous = active > 0 ? model.versions[active - 1] : null;
    const version = selected ?? model.version;
    return html`<details class="more versions">
      <summary>Change the version</summary>
      <form onSubmit=${(event) => { event.preventDefault(); this.activate(version); }}>
        <p class="hint">This changes what every visitor of the server gets, and needs its token. The token is not stored.</p>
        <label>Version
          <select id=${`version-${at}`} value=${version} onChange=${(event) => this.setState({ selected: event.target.value })}>
            ${model.versions.toReversed().map((name) => html`<option key=${name} value=${name}>${name}${name === model.version && " (active)"}</option>`)}
          </select>
        </label>
        <label>Token
          <input id=${`token-${at}`} type="password" autocomplete="off" value=${token}
            onInput=${(event) => this.setState({ token: event.target.value })} />
        </label>
        <p class="changes">
          <button type="submit" disabled=${version === model.version || token.trim() === ""}>Activate</button>
          ${previous && html`<button type="button" disabled=${token.trim() === ""} onClick=${() => this.activate(previous)}>Roll back to ${previous}</button>`}
        </p>
      </form>
      <p class="status" role="status">${done}</p>
      ${problem && html`<${Problem} problem=${problem} />`}
    </details>`;
  }
}
