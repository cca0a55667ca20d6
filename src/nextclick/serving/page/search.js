// The search: a combobox as the ARIA authoring practices have it.

import { ask } from "./api.js";
import { html, Component } from "./html.js";
import { keyOf, typedId } from "./ids.js";
import { learn, named } from "./titles.js";

const PAUSE = 80; // ms after a letter
const SHOWN = 12;

export class Search extends Component {
  state = { text: "", found: [], asked: null, open: false, at: -1, problem: null };

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  find = async (text) => {
    this.control?.abort();
    this.control = new AbortController();
    const query = new URLSearchParams({ q: text, limit: SHOWN, model: this.props.model });
    let told;
    try {
      told = await ask(`v1/items?${query}`, undefined, this.control.signal);
    } catch {
      return; // a later question has taken its place
    }
    const { answer, problem } = told;
    if (answer) learn(answer.items, answer.titles);
    const found = answer ? answer.items.map((id, n) => ({ id, clicks: answer.clicks[n] })) : [];
    const exact = found.some((item) => String(item.id) === text);
    if (answer && !exact && found.length < SHOWN && this.mayBeId(text))
      found.push({ id: typedId(text, this.props.sample), clicks: null });
    this.setState({ found, asked: text, problem: problem ?? null, open: true, at: found.length ? 0 : -1 });
  };

  /** Where items have titles, most of what is typed is none of an id. */
  mayBeId(text) {
    const { sample, titled } = this.props;
    if (text === "" || !titled) return text !== "";
    return typeof sample === "string" ? !/\s/.test(text) : typeof typedId(text, sample) !== "string";
  }

  typed = (event) => {
    const text = event.target.value;
    this.setState({ text, open: true });
    clearTimeout(this.timer);
    this.timer = setTimeout(this.find, PAUSE, text.trim());
  };

  opens = () => {
    if (!this.state.open) this.find(this.state.text.trim());
  };

  close = () => {
    clearTimeout(this.timer);
    this.control?.abort();
    this.setState({ open: false, at: -1, found: [], asked: null }); // no old list on the next letter
  };

  pick = (item) => {
    this.close();
    this.setState({ text: "" });
    this.props.onPick(item.id);
  };

  key = (event) => {
    const { open, found, at, text, asked } = this.state;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return this.opens();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const n = found.length;
      if (n) this.setState({ at: at < 0 && step < 0 ? n - 1 : (at + step + n) % n }, this.reveal);
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      // an answer to an earlier text is not what was typed
      if (asked === text.trim() && found[at]) this.pick(found[at]);
    } else if (event.key === "Escape") {
      if (open) this.close();
      else this.setState({ text: "" });
    }
  };

  reveal = () => document.getElementById(`found-${this.state.at}`)?.scrollIntoView({ block: "nearest" });

  leave = (event) => {
    if (!event.currentTarget.contains(event.relatedTarget)) this.close();
  };

  render() {
    const { text, found, open, at } = this.state;
    return html`<div class="search" onFocusOut=${this.leave}>
      <label for="search">Search items</label>
      <input id="search" type="text" role="combobox" aria-autocomplete="list" aria-controls="found"
        aria-expanded=${open} aria-activedescendant=${open && at >= 0 ? `found-${at}` : undefined}
        autocomplete="off" autocapitalize="off" spellcheck=${false} placeholder=${this.props.titled ? "a title, or an id" : "an id, or its beginning"}
        value=${text} onInput=${this.typed} onKeyDown=${this.key} onClick=${this.opens} />
      <ul id="found" role="listbox" aria-label="Items" hidden=${!open || found.length === 0}>
        ${found.map((item, n) => this.option(item, n))}
      </ul>
      ${open && this.message()}
    </div>`;
  }

  option(item, n) {
    const { at } = this.state;
    // pressing the mouse must not take the focus from the text
    return html`<li key=${keyOf(item.id)} id=${`found-${n}`} role="option" aria-selected=${n === at}
      onMouseDown=${(event) => event.preventDefault()} onClick=${() => this.pick(item)}>
      <span class="id">${named(item.id)}</span>
      <span class="aside">${item.clicks === null ? "not in the catalog; click it all the same" : clicksOf(item.clicks)}</span>
    </li>`;
  }

  message() {
    const { problem, found, asked } = this.state;
    if (problem) return html`<p class="hint" role="alert">${problem.problem}; ${problem.remedy}</p>`;
    if (asked !== null && found.length === 0) return html`<p class="hint">No ${this.props.titled ? "title or id" : "id"} holds “${asked}”.</p>`;
    return null;
  }
}

const clicksOf = (n) => `${n.toLocaleString("en-GB")} ${n === 1 ? "click" : "clicks"} in training`;
