// What the page knows, and everything that changes it.

import { ask } from "./api.js";
import { keyOf } from "./ids.js";
import { fromHash, toHash } from "./link.js";
import { called, learn } from "./titles.js";

const REMEMBERED = 24; // times of answers

const emptyPanel = () => ({ answer: null, problem: null, before: null, times: [], busy: false });

export class State {
  constructor(changed) {
    this.changed = changed;
    this.models = null; // of the server
    this.failed = null; // why there are none
    this.chosen = [null, null]; // names; the second may be null
    this.k = "10";
    this.excludeSeen = false;
    this.useTimes = false;
    this.wait = 0; // seconds from the last click to asking
    this.user = "";
    this.clicks = []; // {id, gap}: seconds since the click before
    this.past = []; // clicks before each change
    this.panels = [emptyPanel(), emptyPanel()];
    this.asking = [null, null];
    this.popular = []; // items of the first model, the most clicked first
    this.lastClick = null;
    this.announced = "";
  }

  // the server's models

  async load() {
    const { answer, problem } = await ask("v1/models");
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

  // what a person does

  open(hash) {
    const told = fromHash(hash);
    const named = (name) => this.models.some((model) => model.name === name);
    this.chosen = [named(told.models[0]) ? told.models[0] : this.models[0].name, null];
    if (named(told.models[1])) this.chosen[1] = told.models[1];
    this.k = told.k ?? String(Math.min(10, ...this.models.map((model) => model.items)));
    Object.assign(this, {
      excludeSeen: told.excludeSeen,
      useTimes: told.useTimes,
      wait: told.wait,
      user: told.user,
      clicks: told.clicks,
      past: told.clicks.map((_, n) => told.clicks.slice(0, n)),
      panels: [emptyPanel(), emptyPanel()],
    });
    this.loadPopular();
    this.askAll();
  }

  choose(at, name) {
    this.chosen[at] = name || null;
    this.panels[at] = emptyPanel();
    if (at === 0) this.loadPopular();
    this.askAll([at]);
  }

  async loadPopular() {
    const model = this.chosen[0];
    const { answer } = await ask(`v1/items?${new URLSearchParams({ limit: 5, model })}`);
    if (model !== this.chosen[0]) return;
    this.popular = answer ? answer.items : [];
    learn(this.popular, answer?.titles);
    this.changed();
  }

  set(changes) {
    Object.assign(this, changes);
    this.askAll();
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
    this.askAll();
  }

  change(clicks) {
    this.past.push(this.clicks);
    this.clicks = clicks;
    this.askAll();
  }

  // answers

  askAll(which = [0, 1]) {
    history.replaceState(null, "", `#${this.hash()}`);
    for (const at of which) this.askFor(at);
    this.changed();
  }

  hash() {
    const { chosen: models, k, excludeSeen, clicks, useTimes, wait, user } = this;
    return toHash({ models, k, excludeSeen, clicks, useTimes, wait, user });
  }

  /** The body of POST /v1/recommend for the session as it stands. */
  request(at) {
    const body = {
      model: this.chosen[at],
      session: this.clicks.map((click) => click.id),
      k: this.k.trim() === "" ? null : Number(this.k),
      explain: true,
    };
    if (this.excludeSeen) body.exclude_seen = true;
    if (this.model(at).titles > 0) body.titles = true;
    if (this.useTimes) {
      let clock = 0;
      body.times = this.clicks.map((click, n) => (clock += n ? click.gap : 0));
      body.now = clock + this.wait;
    }
    if (this.user !== "") body.user = /^\d{1,15}$/.test(this.user) ? Number(this.user) : this.user;
    return body;
  }

  async askFor(at) {
    this.asking[at]?.abort();
    if (this.chosen[at] === null || this.clicks.length === 0) {
      this.panels[at] = { ...emptyPanel(), times: this.panels[at].times };
      return;
    }
    const control = new AbortController();
    this.asking[at] = control;
    this.panels[at].busy = true;
    const body = this.request(at);
    let told;
    try {
      told = await ask("v1/recommend", body, control.signal);
    } catch {
      return; // a later question has taken its place
    }
    if (told.answer) this.learn(body.session, told.answer);
    if (this.asking[at] === control) this.take(at, told);
  }

  learn(session, { items, titles, session_titles, reasons }) {
    learn(items, titles);
    learn(session, session_titles);
    for (const one of reasons?.neighbors ?? []) learn(one.items, one.titles);
  }

  take(at, { answer, problem, ms, serverMs }) {
    const old = this.panels[at];
    const before = old.answer ? ranksOf(old.answer.items) : old.before;
    this.panels[at] = answer
      ? { answer, problem: null, before, times: [...old.times, { ms, serverMs }], busy: false }
      : { answer: null, problem, before, times: old.times, busy: false };
    this.panels[at].times = this.panels[at].times.slice(-REMEMBERED);
    this.announced = this.panels.map((panel, n) => this.said(panel, n)).join(" ");
    this.changed();
  }

  said(panel, at) {
    if (panel.problem) return `${this.chosen[at]}: ${panel.problem.problem}.`;
    if (!panel.answer) return "";
    const first = panel.answer.items.slice(0, 3).map(called).join(", ");
    return `${this.chosen[at]}: ${panel.answer.items.length} items, first ${first}.`;
  }
}

/** Key of an id to its rank, 1 the best. */
export const ranksOf = (items) => new Map(items.map((id, n) => [keyOf(id), n + 1]));
