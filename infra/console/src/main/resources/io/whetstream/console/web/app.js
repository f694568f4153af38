// The console's page. All text of others goes through textContent; there is no markup from data.
import { lossChart, recallChart, show } from "/charts.js";

const $ = (id) => document.getElementById(id);
const VISIBLE_ALERTS = 40;

/** An element: h("p", {class: "x"}, "text", child…). Attributes with a function are listeners. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

const state = {
  figures: [], marks: [], adapters: new Map(), controls: new Map(), alerts: new Map(),
  feedback: new Map(), queries: new Map(), statuses: new Map(), deadLetters: [],
  totals: {}, problems: {}, jobs: [], job: null, held: 0, fresh: new Set(),
  queryCount: 0, moreQueries: false, shownQueries: 200,
};

// ---------------------------------------------------------------- orders

let token = sessionStorage.getItem("token");
const fromLink = /[#&]token=([A-Za-z0-9_-]+)/.exec(location.hash);
if (fromLink) {
  token = fromLink[1];
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname);
}
$("unlock").hidden = Boolean(token);
$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  $("unlock").hidden = true;
});

async function order(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", "X-Whetstream-Token": token || "" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) {
    sessionStorage.removeItem("token");
    token = null;
    $("unlock").hidden = false;
  }
  if (!response.ok) throw new Error(answer.error || "the console answered " + response.status);
  return answer;
}

let toastTimer;
function toast(text, button) {
  $("toast").textContent = text + (button ? " " : "");
  if (button) $("toast").append(button);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").textContent = ""; }, button ? 15000 : 5000);
}

async function attempt(what, done) {
  try {
    await what();
    if (done) toast(done);
    return true;
  } catch (e) {
    toast(e.message);
    return false;
  }
}

// ---------------------------------------------------------------- words

const percent = (value) =>
  typeof value === "number" && isFinite(value) ? (100 * value).toFixed(1) + " %" : "–";
const fixed = (value, digits = 3) =>
  typeof value === "number" && isFinite(value) ? value.toFixed(digits) : "–";
const count = (value) => (value === undefined ? "–" : Math.round(value).toLocaleString("en-US"));
const short = (digest) => (digest ? digest.slice(0, 12) : "base");
const clock = (millis) => (millis ? new Date(millis).toLocaleTimeString("en-GB") : "–");
function ago(millis) {
  const seconds = Math.max(0, Math.round((Date.now() - millis) / 1000));
  if (seconds < 90) return seconds + " s ago";
  if (seconds < 5400) return Math.round(seconds / 60) + " min ago";
  return Math.round(seconds / 3600) + " h ago";
}
function size(bytes) {
  if (bytes < 1024) return bytes + " B";
  return bytes < 1 << 20 ? (bytes / 1024).toFixed(1) + " kB" : (bytes / (1 << 20)).toFixed(1) + " MB";
}

// ---------------------------------------------------------------- what is in use

function versions() {
  return [...state.adapters.values()].sort(
    (a, b) => (b.epoch ?? -1) - (a.epoch ?? -1) || (b.n ?? -1) - (a.n ?? -1),
  );
}
function inUse() {
  const announced = versions().filter((a) => a.announcedAt);
  if (!announced.length) return null;
  const order = state.controls.get(announced[0].stream);
  if (!order || !order.digest) return announced[0];
  // After a resume the adapter that was gone back to stays until a newer one is announced.
  const { epoch, n } = announced[0];
  const newer = order.action === "RESUME" &&
    (epoch > order.afterEpoch || (epoch === order.afterEpoch && n > order.afterN));
  return newer ? announced[0] : state.adapters.get(order.digest) || announced[0];
}
const newest = () => {
  const all = state.figures.filter((f) => f.job === state.job);
  return all.length ? all[all.length - 1] : null;
};
function latest(name) {
  for (let i = state.figures.length - 1; i >= 0; i--) {
    const f = state.figures[i];
    if (f.job === state.job && typeof f[name] === "number") return f[name];
  }
  return undefined;
}

// ---------------------------------------------------------------- drawing

let recall;
let losses;

function drawTiles() {
  const f = newest();
  $("t-recall").textContent = percent(latest("published"));
  $("t-recall-sub").textContent = f
    ? "training " + percent(f.training) +
      (latest("preDrift") !== undefined ? " · preDrift " + percent(latest("preDrift")) : "")
    : "no figures yet";
  const used = inUse();
  $("t-adapter").textContent = used ? used.epoch + "." + used.n : "–";
  const published = versions().filter((a) => a.announcedAt || a.manifest).length;
  $("t-adapter-sub").textContent = used
    ? short(used.digest).slice(0, 8) + " · " + published + " published" +
      (f && f.gateRefused ? " · " + f.gateRefused + " kept out" : "")
    : "none published yet";
  $("t-pairs").textContent = f ? count(f.trained) : "–";
  $("t-pairs-sub").textContent = f
    ? fixed(f.pairsPerSecond, 0) + " a second · " + count(f.heldOut) + " held out" : "";
  $("t-alerts").textContent = count(state.totals.alerts || 0);
  let confirmed = 0;
  let rejected = 0;
  state.feedback.forEach((v) => (v.verdict === "CONFIRM" ? confirmed++ : rejected++));
  $("t-alerts-sub").textContent =
    confirmed + " confirmed · " + rejected + " rejected" +
    (state.totals.suppressed ? " · " + count(state.totals.suppressed) + " suppressed" : "");
  $("t-dead").textContent = count(state.totals.deadLetters || 0);
  const running = state.jobs.filter((j) => j.state === "RUNNING").length;
  $("t-jobs").textContent = state.jobs.length ? running + " running" : "–";
  const at = Math.max(0, ...state.jobs.map((j) => (j.checkpoints && j.checkpoints.at) || 0));
  $("t-jobs-sub").textContent = at ? "checkpoint " + ago(at) : "";
}

function drawCharts() {
  const jobs = [...new Set(state.figures.map((f) => f.job))];
  if (!jobs.includes(state.job)) state.job = jobs[jobs.length - 1] ?? null;
  $("jobpick").hidden = jobs.length < 2;
  fill($("job"), jobs.map((name) => [name, name]), state.job);
  const own = state.figures.filter((f) => f.job === state.job);
  const line = (name) =>
    own.filter((f) => typeof f[name] === "number").map((f) => ({ x: f.step, y: f[name] }));
  const marks = [...state.marks].sort((a, b) => a.step - b.step);
  const lines = ["training", "published", "preDrift", "base"].map(line);
  $("k-base").hidden = !lines[3].length;
  show(recall, lines, marks);
  show(losses, [line("lossContrastive"), line("lossNextToken")],
    marks.filter((m) => m.kind === "drift" || m.kind === "note"));
  const f = own[own.length - 1];
  if (f) {
    $("recall").setAttribute("aria-label",
      "Recall by step, now step " + f.step + ": training " + percent(f.training) + ", published " +
      percent(latest("published")) + ", before the drift " + percent(latest("preDrift")));
    $("losses").setAttribute("aria-label",
      "Losses by step, now step " + f.step + ": contrastive " + fixed(f.lossContrastive) +
      ", next-token " + fixed(f.lossNextToken));
  }
  $("figures").replaceChildren(
    ...own.slice(-12).reverse().map((s) =>
      h("tr", {}, h("th", { scope: "row" }, String(s.step)),
        ...[percent(s.training), percent(s.published), percent(s.preDrift),
          fixed(s.lossContrastive), fixed(s.lossNextToken)].map((t) => h("td", {}, t)))));
  const facts = f
    ? [["logit scale", fixed(f.logitScale, 1)], ["learning rate", fixed(f.learningRate, 5)],
      ["gradient norm", fixed(f.gradientNorm, 2)],
      ["trainer busy", typeof f.waitingForData === "number" ? percent(1 - f.waitingForData) : "–"],
      ["replayed", count(f.replayed)], ["steps skipped", count(f.skippedSteps)]]
    : [];
  $("facts").replaceChildren(
    ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function fill(select, options, chosen) {
  const now = [...select.options].map((o) => o.value + "\u0000" + o.textContent).join("\u0001");
  const wanted = options.map(([value, text]) => value + "\u0000" + text).join("\u0001");
  if (now !== wanted) {
    select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  }
  if (chosen !== null && chosen !== undefined) select.value = chosen;
}

function queryTitle(id) {
  const query = state.queries.get(id);
  return query && query.text ? query.text : id;
}

function scoreBar(score) {
  const low = Math.min(0, score.threshold, score.score);
  const place = (v) => Math.max(0, Math.min(100, (100 * (v - low)) / (1 - low))) + "%";
  const bar = h("i");
  bar.style.setProperty("width", place(score.score));
  const tick = h("b");
  tick.style.setProperty("left", place(score.threshold));
  return h("div", { class: "score" },
    h("span", {
      class: "track", role: "img",
      "aria-label": score.kind + " score " + fixed(score.score) + ", threshold " + fixed(score.threshold),
    }, bar, tick),
    h("span", {}, h("strong", {}, fixed(score.score)), " from " + fixed(score.threshold)));
}

function alertCard(alert) {
  const verdict = state.feedback.get(alert.alertId);
  const item = alert.item || {};
  const query = queryTitle(alert.queryId);
  const picture = item.image
    ? h("img", {
      class: "pic", width: "84", height: "84", loading: "lazy",
      src: "/api/alerts/" + encodeURIComponent(alert.alertId) + "/image",
      alt: "Image of item " + alert.itemId,
    })
    : h("span", { class: "pic" }, alert.item ? (item.missing ? "gone" : "no image") : "…");
  const judge = (word) => () =>
    attempt(() => order("POST", "/api/feedback", { alertId: alert.alertId, verdict: word }));
  return h("li", {
    class: "alert" + (state.fresh.delete(alert.alertId) ? " fresh" : ""),
    tabindex: "0", "data-alert": alert.alertId, "aria-label": "Alert: " + query,
  },
  picture,
  h("div", {},
    h("h3", {}, query),
    item.text ? h("p", { class: "itemtext" }, item.text) : null,
    item.missing ? h("p", { class: "meta" }, item.missing) : null,
    ...alert.scores.slice(0, 2).map(scoreBar),
    h("p", { class: "meta" },
      alert.itemId + " · " + clock(alert.eventTime) + " · adapter " + alert.version + " ",
      h("code", {}, short(alert.adapter).slice(0, 8)),
      alert.suppressed ? " · " + alert.suppressed + " suppressed before" : ""),
    h("div", { class: "row" },
      verdict
        ? h("span", { class: "pill " + (verdict.verdict === "CONFIRM" ? "good" : "bad") },
          verdict.verdict === "CONFIRM" ? "confirmed" : "rejected")
        : null,
      h("button", {
        type: "button", class: "small", click: judge("confirm"), "data-act": "confirm",
        "aria-label": "Confirm alert on " + alert.itemId,
      }, "Confirm"),
      h("button", {
        type: "button", class: "small", click: judge("reject"), "data-act": "reject",
        "aria-label": "Reject alert on " + alert.itemId,
      }, "Reject"))));
}

let drawnAlerts = new Map();
function drawAlerts() {
  const ids = [...state.queries.keys()].sort();
  const chosen = $("alertquery").value;
  fill($("alertquery"), [["", "all"], ...ids.map((id) => [id, id])],
    ids.includes(chosen) ? chosen : "");
  const query = $("alertquery").value;
  const all = [...state.alerts.values()].reverse().filter(
    (a) => (!query || a.queryId === query) &&
      (!$("unreviewed").checked || !state.feedback.has(a.alertId)));
  const list = $("alertlist");
  let wanted = all.slice(0, VISIBLE_ALERTS);
  if ($("hold").checked) {
    const shown = new Set([...list.children].map((c) => c.dataset.alert));
    state.held = all.filter((a) => !shown.has(a.alertId)).length;
    wanted = all.filter((a) => shown.has(a.alertId));
  } else {
    state.held = 0;
  }
  $("held").hidden = !$("hold").checked;
  $("held").textContent = state.held + " new since you hold the list";
  // Cards that did not change stay, so that focus and clicks are not lost.
  const next = new Map();
  const focused = document.activeElement && document.activeElement.closest("[data-alert]");
  const focusOn = focused && {
    id: focused.dataset.alert, act: document.activeElement.dataset.act,
  };
  const cards = wanted.map((alert) => {
    const key = JSON.stringify([alert, state.feedback.get(alert.alertId), queryTitle(alert.queryId)]);
    const before = drawnAlerts.get(alert.alertId);
    const card = before && before.key === key ? before.card : alertCard(alert);
    next.set(alert.alertId, { key, card });
    return card;
  });
  drawnAlerts = next;
  reconcile(list, cards);
  if (focusOn && !list.contains(document.activeElement)) {
    const card = next.get(focusOn.id);
    const again = card && (focusOn.act
      ? card.card.querySelector('[data-act="' + focusOn.act + '"]') : card.card);
    if (again) again.focus({ preventScroll: true });
  }
  $("noalerts").hidden = all.length > 0;
}

/** Makes the children those, moving as few as possible. */
function reconcile(parent, children) {
  const keep = new Set(children);
  [...parent.children].forEach((child) => { if (!keep.has(child)) child.remove(); });
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null);
  });
}

let drawnQueries = new Map();
function drawQueries() {
  const matches = new Map();
  state.alerts.forEach((a) => matches.set(a.queryId, (matches.get(a.queryId) || 0) + 1));
  const next = new Map();
  const find = $("findquery").value.trim();
  const fitting = fittingQueries(find);
  const rows = fitting.slice(0, state.shownQueries).map((q) => {
    const status = state.statuses.get(q.id);
    const current = status && status.revision >= q.revision ? status : null;
    const found = matches.get(q.id) || 0;
    const key = JSON.stringify([q, current, found]);
    const before = drawnQueries.get(q.id);
    const row = before && before.key === key ? before.row : queryRow(q, current, found);
    next.set(q.id, { key, row });
    return row;
  });
  drawnQueries = next;
  reconcile($("querylist"), rows);
  $("noqueries").hidden = rows.length > 0;
  $("noqueries").textContent = find ? "No query holds that." : "Nothing is watched for.";
  $("querycount").textContent = state.queryCount > rows.length
    ? count(rows.length) + " of " + count(state.queryCount) : "";
  $("morequeries").hidden = !state.moreQueries && fitting.length <= rows.length;
}

function newestFirst(a, b) {
  return b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1);
}

function fittingQueries(find) {
  const part = find.toLowerCase();
  return [...state.queries.values()].sort(newestFirst).filter((q) => !part
    || q.id.toLowerCase().includes(part) || (q.text || "").toLowerCase().includes(part));
}

/** Takes in a page of queries: the one after the last that is shown, or the first that fits. */
async function queriesPage(after) {
  const find = $("findquery").value.trim();
  const asked = new URLSearchParams({ find });
  if (after) {
    asked.set("createdAt", after.createdAt);
    asked.set("id", after.id);
  }
  const response = await fetch("/api/queries?" + asked);
  const page = await response.json();
  if (find !== $("findquery").value.trim()) return;
  page.queries.forEach((q) => state.queries.set(q.id, q));
  page.statuses.forEach((s) => state.statuses.set(s.queryId, s));
  state.moreQueries = page.more;
  redraw("queries", "alerts");
}

$("morequeries").addEventListener("click", () => attempt(async () => {
  const shown = fittingQueries($("findquery").value.trim()).slice(0, state.shownQueries);
  state.shownQueries += 200;
  await queriesPage(shown[shown.length - 1]);
}));

let findTimer;
$("findquery").addEventListener("input", () => {
  clearTimeout(findTimer);
  state.shownQueries = 200;
  redraw("queries");
  findTimer = setTimeout(() => attempt(() => queriesPage(null)), 200);
});

// What a query may ask for, and the part of the form that it is entered in.
const BOUNDS = [
  { field: "minScore", mode: "score", says: "score from" },
  { field: "maxFalsePositiveRate", mode: "rate", says: "false positives at most" },
  { field: "maxAlertsPerDay", mode: "budget", says: "unrelated alerts a day at most" },
];

function boundOf(q) {
  return BOUNDS.find((each) => q[each.field] !== null && q[each.field] !== undefined);
}

function queryRow(q, status, found) {
  const bound = boundOf(q);
  const asked = bound.says + " " + q[bound.field];
  const effective = status && status.thresholds.length && q.minScore === null
    ? ", now from " + status.thresholds.map((t) => fixed(t.score)).join(" / ") : "";
  const word = !q.enabled ? ["off", "warn"]
    : !status ? ["waiting", "warn"]
      : status.state === "ACCEPTED" || status.state === "RELEASED" ? ["watching", "good"]
        : status.state === "QUARANTINED" ? ["quarantined", "warn"]
          : [status.state.toLowerCase(), "bad"];
  return h("li", { "data-query": q.id },
    h("span", { class: "qt" }, q.text || q.id),
    h("span", { class: "qm meta" },
      h("span", { class: "pill " + word[1] }, word[0]), " " + q.id +
      (q.image ? " · with image" : "") +
      (q.unlike.length ? " · unlike " + q.unlike.join(" / ") : "") + " · " + asked + effective +
      (found ? " · " + found + (found === 1 ? " alert" : " alerts") : "") +
      (status && status.reason ? " · " + status.reason : "")),
    h("span", { class: "qb" },
      h("button", {
        type: "button", class: "small", "aria-label": (q.enabled ? "Switch off " : "Switch on ") + q.id,
        click: () => attempt(
          () => order("POST", "/api/queries/change", { id: q.id, enabled: !q.enabled })),
      }, q.enabled ? "Off" : "On"),
      h("button", {
        type: "button", class: "small", "aria-label": "Edit " + q.id, click: () => editQuery(q),
      }, "Edit"),
      h("button", {
        type: "button", class: "small", "aria-label": "Remove " + q.id,
        click: () => attempt(async () => {
          const removed = await order("DELETE", "/api/queries/" + encodeURIComponent(q.id));
          toast("removed " + q.id, h("button", {
            type: "button", class: "small", "aria-label": "Undo the removal of " + q.id,
            click: () => attempt(
              () => order("POST", "/api/queries/restore", removed), "watching for " + q.id),
          }, "Undo"));
        }),
      }, "Remove")));
}

let drawnAdapters = "";
function drawAdapters() {
  const used = inUse();
  const all = versions();
  const key = JSON.stringify([all, used && used.digest, [...state.controls.values()]]);
  const f = newest();
  $("held-back").textContent = f
    ? count(f.gatePassed ?? 0) + " passed the gate, " + count(f.gateRefused ?? 0) + " kept out since the job started"
    : "";
  if (key === drawnAdapters) return;
  drawnAdapters = key;
  $("adapterlist").replaceChildren(...all.map((a) => {
    const current = used && used.digest === a.digest;
    const m = a.metrics || {};
    const before = m["heldOut.recallPublished"];
    return h("tr", { class: current ? "current" : null, "data-adapter": a.digest },
      h("th", { scope: "row" }, a.epoch === undefined ? "–" : a.epoch + "." + a.n,
        current ? h("span", { class: "hidden" }, " (in use)") : null),
      h("td", {}, h("code", {}, short(a.digest))),
      h("td", {}, h("code", {}, short(a.parent))),
      h("td", { class: "num" }, count(a.step)),
      h("td", { class: "num" }, count(a.pairs)),
      h("td", { class: "num" }, percent(m["heldOut.recall"])),
      h("td", { class: "verdict" }, a.verdict ||
        (before === undefined ? "passed" : "passed against " + percent(before) + " in use")),
      h("td", {}, clock(a.announcedAt || a.createdAt)),
      h("td", {}, h("div", { class: "buttonrow" },
        current ? h("span", { class: "pill good" }, "in use") : null,
        h("button", {
          type: "button", class: "small", "aria-label": "Manifest of " + a.epoch + "." + a.n,
          click: () => showManifest(a),
        }, "Manifest"),
        current ? null : h("button", {
          type: "button", class: "small", "data-act": "rollback",
          "aria-label": "Roll back to " + a.epoch + "." + a.n, click: () => askRollback(a),
        }, "Roll back"))));
  }));
  $("noadapters").hidden = all.length > 0;
  const rolled = [...state.controls.values()].filter((c) => c.action === "ROLLBACK");
  $("rolledback").hidden = !rolled.length;
  $("rolledback").replaceChildren(...rolled.map((c) => {
    const target = state.adapters.get(c.digest);
    return h("span", {},
      "Stream " + c.stream + " is rolled back to " +
      (target ? target.epoch + "." + target.n + ", " : "") + short(c.digest) + ": " + c.reason,
      h("button", {
        type: "button", class: "small primary",
        click: () => attempt(
          () => order("POST", "/api/adapters/resume", { stream: c.stream, reason: "from the console" }),
          "publishing goes on"),
      }, "Resume publishing"));
  }));
}

function drawDead() {
  $("deadlist").replaceChildren(...[...state.deadLetters].reverse().slice(0, 50).map((d) =>
    h("li", {},
      h("strong", {}, d.stage), " ", h("span", {}, d.message),
      h("p", { class: "meta" }, d.at + " · " + clock(d.time) + " · " + size(d.bytes) +
        (d.hops ? " · replayed " + d.hops + " times" : "") +
        (d.spilledTo ? " · value in " + d.spilledTo : "")),
      d.preview ? h("pre", {}, d.preview) : null)));
  $("nodead").hidden = state.deadLetters.length > 0;
}

function drawJobs() {
  $("nojobs").hidden = state.jobs.length > 0;
  $("joblist").replaceChildren(...state.jobs.map((j) => {
    const c = j.checkpoints || {};
    const f = j.figures || {};
    const facts = [["since", clock(j.start)]];
    if (c.at) facts.push(["last checkpoint", ago(c.at)], ["took", c.millis + " ms"], ["state", size(c.bytes)]);
    if (j.checkpoints) facts.push(["checkpoints failed", count(c.failed)], ["restored", count(c.restored)]);
    if (f.waitingInKafka !== undefined) facts.push(["waiting in Kafka", count(f.waitingInKafka)]);
    if (f.step !== undefined) facts.push(["step", count(f.step)]);
    if (f.itemsScored !== undefined) facts.push(["items scored", count(f.itemsScored)]);
    if (f.watchlistQueries !== undefined) facts.push(["queries", count(f.watchlistQueries)]);
    if (f.adapterFlips !== undefined) facts.push(["adapter changes", count(f.adapterFlips)]);
    if (f.lastFlipMicros) facts.push(["last change took", fixed(f.lastFlipMicros / 1000, 1) + " ms"]);
    const good = j.state === "RUNNING";
    const ended = ["FINISHED", "CANCELED", "SUSPENDED"].includes(j.state);
    return h("div", { class: "job" },
      h("p", { class: "jobname" }, h("span", {}, j.name),
        h("span", { class: "pill " + (good ? "good" : ended ? "info" : "bad") }, j.state.toLowerCase())),
      h("dl", { class: "facts" },
        ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
  }));
}

function drawProblems() {
  const texts = Object.values(state.problems);
  $("problems").hidden = !texts.length;
  $("problems").replaceChildren(...texts.map((t) => h("p", {}, t)));
}

const draws = {
  tiles: drawTiles, charts: drawCharts, alerts: drawAlerts, queries: drawQueries,
  adapters: drawAdapters, dead: drawDead, jobs: drawJobs, problems: drawProblems,
};
const due = new Set();
function redraw(...what) {
  what.forEach((w) => due.add(w));
  if (due.size === what.length || !redraw.asked) {
    redraw.asked = true;
    setTimeout(() => {
      redraw.asked = false;
      const now = [...due];
      due.clear();
      now.forEach((w) => draws[w]());
    }, 120);
  }
}

// ---------------------------------------------------------------- what comes in

const byKey = (list, key) => new Map(list.map((e) => [e[key], e]));
const handlers = {
  all(d) {
    Object.assign(state, {
      figures: d.figures, marks: d.marks, adapters: byKey(d.adapters, "digest"),
      controls: byKey(d.controls, "stream"), alerts: byKey(d.alerts, "alertId"),
      feedback: byKey(d.feedback, "alertId"), queries: byKey(d.queries, "id"),
      statuses: byKey(d.statuses, "queryId"), deadLetters: d.deadLetters, totals: d.totals,
      problems: d.problems, jobs: d.jobs, queryCount: d.queryCount,
      moreQueries: d.queryCount > d.queries.length,
    });
    redraw(...Object.keys(draws));
  },
  figures(d) {
    // A trainer that went back makes these steps again.
    state.figures = state.figures.filter((f) => f.job !== d.job || f.step < d.step);
    state.figures.push(d);
    redraw("charts", "tiles", "adapters");
  },
  marks(d) { state.marks = d; redraw("charts"); },
  adapter(d) { state.adapters.set(d.digest, d); redraw("adapters", "tiles"); },
  control(d) { state.controls.set(d.stream, d); redraw("adapters", "tiles"); },
  alert(d) {
    if (!state.alerts.has(d.alertId)) state.fresh.add(d.alertId);
    state.alerts.set(d.alertId, d);
    while (state.alerts.size > 400) state.alerts.delete(state.alerts.keys().next().value);
    redraw("alerts", "queries", "tiles");
  },
  feedback(d) { state.feedback.set(d.alertId, d); redraw("alerts", "tiles"); },
  query(d) { state.queries.set(d.id, d); redraw("queries", "alerts"); },
  queryCount(d) { state.queryCount = d; redraw("queries"); },
  queryRemoved(d) { state.queries.delete(d.id); redraw("queries", "alerts"); },
  status(d) { state.statuses.set(d.queryId, d); redraw("queries"); },
  deadLetter(d) {
    state.deadLetters.push(d);
    if (state.deadLetters.length > 200) state.deadLetters.shift();
    redraw("dead", "tiles");
  },
  totals(d) { state.totals = d; redraw("tiles"); },
  problems(d) { state.problems = d; redraw("problems"); },
  jobs(d) { state.jobs = d; redraw("jobs", "tiles"); },
};

function listen() {
  const source = new EventSource("/api/events");
  for (const [type, handler] of Object.entries(handlers)) {
    source.addEventListener(type, (event) => handler(JSON.parse(event.data)));
  }
  const say = (live) => {
    $("link").textContent = live ? "live" : "not connected";
    $("link").className = "pill " + (live ? "on" : "off");
  };
  source.onopen = () => say(true);
  source.onerror = () => {
    say(false);
    // After an answer that is no stream a browser gives up; we do not.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

// ---------------------------------------------------------------- dialogs

document.querySelectorAll("[data-close]").forEach((button) =>
  button.addEventListener("click", () => button.closest("dialog").close()));

let edited = null;
function editQuery(q) {
  edited = q;
  const form = $("queryform");
  form.reset();
  $("queryerror").textContent = "";
  if (q) {
    form.elements.id.value = q.id;
    form.elements.text.value = q.text || "";
    form.elements.unlike.value = q.unlike.join("\n");
    const bound = boundOf(q);
    form.elements.mode.value = bound.mode;
    form.elements[bound.mode].value = q[bound.field];
    if (q.coolDownMillis !== null) form.elements.cooldown.value = q.coolDownMillis / 1000;
  }
  $("querydialog").showModal();
}
$("newquery").addEventListener("click", () => editQuery(null));

async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

$("queryform").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target.elements;
  try {
    const body = { id: form.id.value };
    // What the form does not show stays as it is.
    const changes = edited !== null && edited.id === body.id;
    if (form.text.value.trim() || changes) body.text = form.text.value.trim() ? form.text.value : null;
    body.unlike = form.unlike.value.split("\n").filter((line) => line.trim());
    if (form.image.files.length) body.image = await base64(form.image.files[0]);
    const bound = BOUNDS.find((each) => each.mode === form.mode.value);
    body[bound.field] = Number(form[bound.mode].value);
    if (form.cooldown.value !== "") body.coolDownSeconds = Number(form.cooldown.value);
    else if (changes) body.coolDownSeconds = null;
    await order("POST", changes ? "/api/queries/change" : "/api/queries", body);
    $("querydialog").close();
    toast("watching for " + body.id);
  } catch (e) {
    $("queryerror").textContent = e.message;
  }
});

let rollbackTo = null;
function askRollback(a) {
  rollbackTo = a;
  $("rollbackform").reset();
  $("rollbackerror").textContent = "";
  $("rb-version").textContent = a.epoch + "." + a.n;
  $("rb-digest").textContent = short(a.digest);
  $("rollbackdialog").showModal();
}
$("rollbackform").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await order("POST", "/api/adapters/rollback",
      { digest: rollbackTo.digest, reason: event.target.elements.reason.value });
    $("rollbackdialog").close();
    toast("rolling back to " + rollbackTo.epoch + "." + rollbackTo.n);
  } catch (e) {
    $("rollbackerror").textContent = e.message;
  }
});

async function showManifest(a) {
  $("h-manifest").textContent = "Adapter " + a.epoch + "." + a.n;
  const line = [];
  const met = new Set();
  for (let at = a; at && !met.has(at.digest); at = state.adapters.get(at.parent)) {
    met.add(at.digest);
    line.push(h("li", {}, at.epoch + "." + at.n + " ", h("code", {}, short(at.digest).slice(0, 8))));
    if (!at.parent || line.length > 40) break;
    if (!state.adapters.has(at.parent)) {
      line.push(h("li", {}, h("code", {}, short(at.parent).slice(0, 8))));
    }
  }
  line.push(h("li", {}, "base ", h("code", {}, short(a.base).slice(0, 8))));
  $("lineage").replaceChildren(...line);
  $("manifest").textContent = "…";
  $("manifestdialog").showModal();
  try {
    const response = await fetch("/api/adapters/" + encodeURIComponent(a.digest) + "/manifest");
    $("manifest").textContent = response.ok
      ? await response.text() : "The manifest is not at hand: the console knows no registry with it.";
  } catch (e) {
    $("manifest").textContent = e.message;
  }
}

// ---------------------------------------------------------------- keys and theme

$("alertlist").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = event.target.closest("[data-alert]");
  if (!card) return;
  const key = event.key.toLowerCase();
  const move = { j: card.nextElementSibling, k: card.previousElementSibling };
  const act = { c: "confirm", r: "reject" };
  if (move[key]) {
    move[key].focus();
    event.preventDefault();
  } else if (act[key]) {
    card.querySelector('[data-act="' + act[key] + '"]').click();
    event.preventDefault();
  }
});
["alertquery", "unreviewed", "hold"].forEach((id) =>
  $(id).addEventListener("change", () => redraw("alerts")));
$("job").addEventListener("change", () => { state.job = $("job").value; redraw("charts", "tiles"); });

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme() {
  const chosen = localStorage.getItem("theme");
  const now = chosen || (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = now;
  $("theme").textContent = now === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", "Change to " + (now === "dark" ? "light" : "dark"));
  if (recall) redraw("charts");
}
$("theme").addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  theme();
});
dark.addEventListener("change", theme);
theme();

recall = recallChart($("recall"));
losses = lossChart($("losses"));
setInterval(() => redraw("tiles", "jobs"), 5000);
listen();
