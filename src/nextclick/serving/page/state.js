// The state of the page and all its changes.

import { fetchJSON } from "./api.js";
import { keyOf } from "./ids.js";
import { called, learn, lookUp } from "./items.js";
import { fromHash, toHash } from "./link.js";
import { noRules, ruleFields } from "./rules.js";

const MAX_TIMES = 24; // response times that are shown

const emptyPanel = () => ({ answer: null, problem: null, before: null, times: [], busy: false });

export class State {
  constructor(changed) {
    this.changed = changed;
    this.models = null; // served models
    this.failed = null; // the problem of loading them
    this.chosen = [null, null]; // names; the second may be null
    this.k = "10";
    Object.assign(this, noRules()); // excludeSeen, allow, block, diversity
    this.rulesOpen = false;
    this.drafts = {}; // typed texts that are not entered yet, by name; an answer must not erase them
    this.useTimes = false;
    this.wait = 0; // seconds from the last click to the prediction
    this.user = "";
    this.clicks = []; // {id, gap}: gap in seconds since the previous click
    this.past = []; // earlier clicks, for undo
    this.panels = [emptyPanel(), emptyPanel()];
    this.requests = [null, null];
    this.popular = []; // items of the first model, the most clicked first
    this.lastClick = null;
    this.announced = "";
    this.explained = null; // {at, key} of the item whose explanation is open
    this.source = null; // what the session was drawn from
  }

  // models

  async load() {
    const { answer, problem } = await fetchJSON("v1/models");
    this.failed = problem ?? null;
    this.models = answer ? answer.models : null;
    if (answer) this.open(location.hash);
    else this.changed();
  }

  model(at) {
    return this.models.find((model) => model.name === this.chosen[at]) ?? null;
  }

  reads(what) {
    return [0, 1].some((at) => this.model(at)?.reads.includes(what));
  }

  // user actions

  open(hash) {
    const link = fromHash(hash);
    const named = (name) => this.models.some((model) => model.name === name);
    this.chosen = [named(link.models[0]) ? link.models[0] : this.models[0].name, null];
    if (named(link.models[1])) this.chosen[1] = link.models[1];
    this.k = link.k ?? String(Math.min(10, ...this.models.map((model) => model.items)));
    Object.assign(this, link.rules, {
      useTimes: link.useTimes,
      wait: link.wait,
      user: link.user,
      clicks: link.clicks,
      past: link.clicks.map((_, n) => link.clicks.slice(0, n)),
      panels: [emptyPanel(), emptyPanel()],
      explained: null,
      source: null,
      drafts: {},
    });
    this.loadPopular();
    this.requestAll();
  }

  choose(at, name) {
    this.chosen[at] = name || null;
    this.panels[at] = emptyPanel();
    this.explained = null;
    if (at === 0) this.loadPopular();
    this.requestAll([at]);
  }

  async loadPopular() {
    const model = this.chosen[0];
    const { answer } = await fetchJSON(`v1/items?${new URLSearchParams({ limit: 5, model })}`);
    if (model !== this.chosen[0]) return;
    this.popular = answer ? answer.items : [];
    learn(this.popular, answer?.titles);
    this.changed();
    this.lookUp(0, this.popular);
  }

  /** A model whose version was changed. */
  replaceModel(model) {
    this.models = this.models.map((old) => (old.name === model.name ? model : old));
    this.requestAll([0, 1].filter((at) => this.chosen[at] === model.name));
  }

  /** Draw a session at random from what the first model stores. */
  async draw() {
    const { answer, problem } = await fetchJSON(`v1/example?${new URLSearchParams({ model: this.chosen[0] })}`);
    if (answer) {
      this.change(answer.session.map((id) => ({ id, gap: 0 })), answer.source);
    } else {
      this.announce(problem.problem);
    }
  }

  // explanations

  isExplained(at, id) {
    return this.explained?.at === at && this.explained.key === keyOf(id);
  }

  explain(item) {
    this.explained = item;
    this.changed();
  }

  /** The body of POST /v1/explain for an item of an answer. */
  explainBody(at, id) {
    const { model, session, titles, times, now, user } = this.request(at);
    return { model, session, titles, times, now, user, items: [id] };
  }

  learnExplanation(at, { items, titles, clicks, click_titles, neighbors }) {
    learn(items, titles);
    learn(clicks, click_titles);
    for (const one of neighbors) if (one.items) learn(one.items, one.titles);
  }

  announce(text) {
    this.announced = text;
    this.changed();
  }

  set(changes) {
    Object.assign(this, changes);
    for (const name of Object.keys(changes)) delete this.drafts[name];
    this.requestAll();
  }

  click(id) {
    const now = performance.now();
    const passed = this.lastClick === null ? 0 : Math.round((now - this.lastClick) / 1000);
    this.lastClick = now;
    this.change([...this.clicks, { id, gap: this.clicks.length ? passed : 0 }]);
  }

  remove(at) {
    this.change(this.clicks.filter((_, n) => n !== at));
  }

  setGap(at, gap) {
    this.change(this.clicks.map((click, n) => (n === at ? { ...click, gap } : click)));
  }

  clear() {
    this.change([]);
  }

  undo() {
    if (this.past.length === 0) return;
    this.clicks = this.past.pop();
    this.source = null;
    this.requestAll();
  }

  /** Properties of a text input whose value is entered with Enter or by leaving it. */
  input(name) {
    return {
      value: this.drafts[name] ?? this[name],
      onInput: (event) => (this.drafts[name] = event.target.value),
      onChange: (event) => this.set({ [name]: event.target.value.trim() }),
    };
  }

  change(clicks, source = null) {
    this.past.push(this.clicks);
    this.clicks = clicks;
    this.source = source;
    this.requestAll();
  }

  // answers

  requestAll(which = [0, 1]) {
    history.replaceState(null, "", `#${this.hash()}`);
    for (const at of which) this.requestModel(at);
    this.changed();
  }

  hash() {
    return toHash({ ...this, models: this.chosen });
  }

  /** The body of POST /v1/recommend for the current session. */
  request(at) {
    const body = {
      model: this.chosen[at],
      session: this.clicks.map((click) => click.id),
      k: this.k.trim() === "" ? null : Number(this.k),
      ...ruleFields(this, this.popular[0]),
    };
    if (this.model(at).titles > 0) body.titles = true;
    if (this.useTimes) {
      let clock = 0;
      body.times = this.clicks.map((click, n) => (clock += n ? click.gap : 0));
      body.now = clock + this.wait;
    }
    if (this.user !== "") body.user = /^\d{1,15}$/.test(this.user) ? Number(this.user) : this.user;
    return body;
  }

  async requestModel(at) {
    this.requests[at]?.abort();
    if (this.chosen[at] === null || this.clicks.length === 0) {
      this.panels[at] = { ...emptyPanel(), times: this.panels[at].times };
      return;
    }
    const control = new AbortController();
    this.requests[at] = control;
    this.panels[at].busy = true;
    const body = this.request(at);
    let result;
    try {
      result = await fetchJSON("v1/recommend", body, control.signal);
    } catch {
      return; // replaced by a later request
    }
    if (result.answer) {
      learn(result.answer.items, result.answer.titles);
      learn(body.session, result.answer.session_titles);
      this.lookUp(at, [...body.session, ...result.answer.items]);
    }
    if (this.requests[at] === control) this.show(at, result);
  }

  /** Request pictures, prices, links and categories of items, if the server has any. */
  async lookUp(at, ids) {
    const model = this.model(at);
    if (model !== null && model.details > 0 && (await lookUp(ids, model.name))) this.changed();
  }

  show(at, { answer, problem, ms, serverMs }) {
    const old = this.panels[at];
    const before = old.answer ? ranksOf(old.answer.items) : old.before;
    this.panels[at] = answer
      ? { answer, problem: null, before, times: [...old.times, { ms, serverMs }], busy: false }
      : { answer: null, problem, before, times: old.times, busy: false };
    this.panels[at].times = this.panels[at].times.slice(-MAX_TIMES);
    if (this.explained?.at === at) this.explained = null; // it belongs to the previous answer
    this.announced = this.panels.map((panel, n) => this.summary(panel, n)).join(" ");
    this.changed();
  }

  summary(panel, at) {
    if (panel.problem) return `${this.chosen[at]}: ${panel.problem.problem}.`;
    if (!panel.answer) return "";
    const first = panel.answer.items.slice(0, 3).map(called).join(", ");
    return `${this.chosen[at]}: ${panel.answer.items.length} items, first ${first}.`;
  }
}

/** Key of an id to its rank, 1 the best. */
export const ranksOf = (items) => new Map(items.map((id, n) => [keyOf(id), n + 1]));
