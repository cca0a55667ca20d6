// The page: try models on a session of clicks.

import { Controls } from "./controls.js";
import { html, Component, render } from "./html.js";
import { keyOf } from "./ids.js";
import { named, picture } from "./items.js";
import { BothPanels, Panel } from "./panel.js";
import { Problem } from "./problem.js";
import { Search } from "./search.js";
import { Session } from "./session.js";
import { State } from "./state.js";

function App({ state }) {
  return html`
    <${Head} />
    <main>
      ${state.failed && html`<${Problem} problem=${state.failed} again=${() => state.load()} />`}
      ${state.models && html`<${Workspace} state=${state} />`}
    </main>
    <p class="vh" aria-live="polite" id="announced">${state.announced}</p>
  `;
}

function Workspace({ state }) {
  const unknown = new Set((state.panels[0].answer?.unknown ?? []).map(keyOf));
  const shown = [0, 1].filter((at) => state.chosen[at] !== null);
  const together = shown.length === 2 && narrow.matches;
  return html`
    <${Controls} state=${state} />
    <div class="desk">
      <section class="session" aria-labelledby="session">
        <h2 id="session">Session</h2>
        <${Search} model=${state.chosen[0]} sample=${state.popular[0]}
          titled=${state.model(0).titles > 0} onPick=${(id) => state.click(id)} />
        <${Session} state=${state} unknown=${unknown} />
        <${Changes} state=${state} />
      </section>
      ${state.clicks.length === 0
        ? html`<${EmptySession} state=${state} />`
        : html`<div class=${`panels n${together ? 1 : shown.length}`}>
            ${together ? html`<${BothPanels} state=${state} />` : shown.map((at) => html`<${Panel} key=${at} state=${state} at=${at} />`)}
            ${shown.some((at) => state.panels[at].answer) && html`<${Legend} two=${shown.length === 2} together=${together} before=${state.panels[0].before} />`}
          </div>`}
    </div>`;
}

const Legend = ({ two, together, before }) => html`<p class="hint below">
  ${together ? "▲ and ▼: the rank by the second model is higher or lower." : ""}
  ${!two && before ? "Before: the rank in the previous answer." : ""}
  ${two && !together ? "Other: the rank by the other model." : ""}
  ${together ? "" : " Bars compare scores of one model; scores of different models are not comparable."}
</p>`;

const EmptySession = ({ state }) => html`<section class="beginning">
  <p class="large">Search for an item to start a session.</p>
  <p>The model then recommends what the visitor clicks next. Click a recommended item to add it to the session:
    the list shows how the ranks change. “Why?” at an item shows which clicks and which earlier sessions led to it.</p>
  <p><button type="button" id="draw" onClick=${() => state.draw()}>Draw a session at random</button></p>
  ${state.popular.length > 0 &&
  html`<p>Or start with one of the most clicked items:</p>
    <p class="starts">${state.popular.map(
      (id) => html`<button key=${keyOf(id)} type="button" class="id" onClick=${() => state.click(id)}>${picture(id)}<span>${named(id)}</span></button>`,
    )}</p>`}
</section>`;

function Changes({ state }) {
  return html`<p class="changes">
    <button type="button" id="undo" disabled=${state.past.length === 0} onClick=${() => state.undo()}>Undo</button>
    <button type="button" id="clear" disabled=${state.clicks.length === 0} onClick=${() => state.clear()}>Clear</button>
    <${Share} disabled=${state.clicks.length === 0} />
    ${state.clicks.length > 0 && html`<button type="button" id="draw" onClick=${() => state.draw()}>Draw a session</button>`}
  </p>`;
}

class Share extends Component {
  state = { status: "" };

  copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      this.setState({ status: "Link copied." });
    } catch {
      this.setState({ status: "Copy the address of this page." });
    }
    this.timer = setTimeout(() => this.setState({ status: "" }), 4000);
  };

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  render({ disabled }, { status }) {
    return html`<button type="button" id="share" disabled=${disabled} onClick=${this.copy}>Copy link</button>
      <span class="status" role="status">${status}</span>`;
  }
}

class Head extends Component {
  state = { theme: document.documentElement.dataset.theme ?? "" };

  choose = (theme) => {
    this.setState({ theme });
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("nextclick.theme", theme);
    } catch {
      // storage may be disabled: the choice then lasts until the page is closed
    }
  };

  render(_, { theme }) {
    const one = (value, name) => html`<label><input type="radio" name="theme" value=${value}
      checked=${theme === value} onChange=${() => this.choose(value)} /><span>${name}</span></label>`;
    return html`<header class="top">
      <h1>nextclick</h1>
      <nav><a href="docs">API</a></nav>
      <fieldset class="theme"><legend class="vh">Colors</legend>
        ${one("", "System")}${one("light", "Light")}${one("dark", "Dark")}
      </fieldset>
    </header>`;
  }
}

const narrow = matchMedia("(max-width: 44rem)"); // where two models share one list
const root = document.getElementById("app");
const state = new State(() => render(html`<${App} state=${state} />`, root));
narrow.addEventListener("change", () => state.changed());
addEventListener("hashchange", () => {
  if (state.models && location.hash.slice(1) !== state.hash()) state.open(location.hash);
});
state.load();
