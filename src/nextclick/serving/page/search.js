// Item search: a combobox after the ARIA Authoring Practices.

import { fetchJSON } from "./api.js";
import { html, Component } from "./html.js";
import { keyOf, typedId } from "./ids.js";
import { learn, named } from "./items.js";

const DELAY = 80; // ms after a keystroke
const LIMIT = 12;

export class Search extends Component {
  state = { text: "", items: [], searched: null, open: false, at: -1, problem: null };

  componentWillUnmount() {
    clearTimeout(this.timer);
  }

  find = async (text) => {
    this.control?.abort();
    this.control = new AbortController();
    const query = new URLSearchParams({ q: text, limit: LIMIT, model: this.props.model });
    let result;
    try {
      result = await fetchJSON(`v1/items?${query}`, undefined, this.control.signal);
    } catch {
      return; // replaced by a later request
    }
    const { answer, problem } = result;
    if (answer) learn(answer.items, answer.titles);
    const items = answer ? answer.items.map((id, n) => ({ id, clicks: answer.clicks[n] })) : [];
    const exact = items.some((item) => String(item.id) === text);
    if (answer && !exact && items.length < LIMIT && this.isPossibleId(text))
      items.push({ id: typedId(text, this.props.sample), clicks: null });
    this.setState({ items, searched: text, problem: problem ?? null, open: true, at: items.length ? 0 : -1 });
  };

  /** Whether a typed text may be an id; in a catalog with titles it usually is not. */
  isPossibleId(text) {
    const { sample, titled } = this.props;
    if (text === "" || !titled) return text !== "";
    return typeof sample === "string" ? !/\s/.test(text) : typeof typedId(text, sample) !== "string";
  }

  typed = (event) => {
    const text = event.target.value;
    this.setState({ text, open: true });
    clearTimeout(this.timer);
    this.timer = setTimeout(this.find, DELAY, text.trim());
  };

  opens = () => {
    if (!this.state.open) this.find(this.state.text.trim());
  };

  close = () => {
    clearTimeout(this.timer);
    this.control?.abort();
    this.setState({ open: false, at: -1, items: [], searched: null }); // the next keystroke must not show the old list
  };

  pick = (item) => {
    this.close();
    this.setState({ text: "" });
    this.props.onPick(item.id);
  };

  key = (event) => {
    const { open, items, at, text, searched } = this.state;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return this.opens();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const n = items.length;
      if (n) this.setState({ at: at < 0 && step < 0 ? n - 1 : (at + step + n) % n }, this.reveal);
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      // the list may belong to an earlier text
      if (searched === text.trim() && items[at]) this.pick(items[at]);
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
    const { text, items, open, at } = this.state;
    return html`<div class="search" onFocusOut=${this.leave}>
      <label for="search">Search items</label>
      <input id="search" type="text" role="combobox" aria-autocomplete="list" aria-controls="found"
        aria-expanded=${open} aria-activedescendant=${open && at >= 0 ? `found-${at}` : undefined}
        autocomplete="off" autocapitalize="off" spellcheck=${false} placeholder=${this.props.titled ? "title or id" : "id"}
        value=${text} onInput=${this.typed} onKeyDown=${this.key} onClick=${this.opens} />
      <ul id="found" role="listbox" aria-label="Items" hidden=${!open || items.length === 0}>
        ${items.map((item, n) => this.option(item, n))}
      </ul>
      ${open && this.message()}
    </div>`;
  }

  option(item, n) {
    const { at } = this.state;
    // a mouse press must not move the focus from the input
    return html`<li key=${keyOf(item.id)} id=${`found-${n}`} role="option" aria-selected=${n === at}
      onMouseDown=${(event) => event.preventDefault()} onClick=${() => this.pick(item)}>
      <span class="id">${named(item.id)}</span>
      <span class="aside">${item.clicks === null ? "not in the catalog; can still be clicked" : clicksOf(item.clicks)}</span>
    </li>`;
  }

  message() {
    const { problem, items, searched } = this.state;
    if (problem) return html`<p class="hint" role="alert">${problem.problem}; ${problem.remedy}</p>`;
    if (searched !== null && items.length === 0) return html`<p class="hint">No ${this.props.titled ? "title or id" : "id"} contains “${searched}”.</p>`;
    return null;
  }
}

const clicksOf = (n) => `${n.toLocaleString("en-US")} ${n === 1 ? "click" : "clicks"} in training`;
