// Keeps the live page live: the numbers of this instance once a second, and changes as they come.
"use strict";

const SECONDS = 120;
const CHANGES_KEPT = 100;
const grouped = (number) => number.toLocaleString("en-US");
const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function tile(name, value, isGood) {
  const found = document.querySelector(`[data-tile="${name}"]`);
  const shown = found.querySelector("dd");
  if (shown.textContent !== value) shown.textContent = value;
  found.classList.toggle("off", !isGood);
}

function showNumbers(now) {
  const { staleness, feed, store, cache, policy, fleet } = now;
  const freshness = staleness.tooStale ? "Too stale" : staleness.stale ? "Stale" : "Fresh";
  const age = staleness.seconds === null ? "no picture yet" : `${staleness.seconds.toFixed(1)} s`;
  const shadow = fleet.shadowUntil !== null;
  tile("freshness", freshness, !staleness.stale);
  tile("age", age, !staleness.stale);
  tile("feed", feed.connected ? feed.phase : "disconnected", feed.connected);
  tile("store", store.lost || "believed", store.lost === null);
  tile("ready", now.ready ? "ready" : "not ready", now.ready);
  tile("mode", shadow ? "shadow (fleet)" : policy.mode, !shadow && policy.mode === "enforce");
  tile("restricted", grouped(cache.restricted), true);
  tile("recent", grouped(cache.recent), true);
  tile("unknown", grouped(cache.unknown), true);
  tile("version", now.version, true);
}

// How many per second of each reason, the newest last.
const rates = new Map();
const series = new Map();
let before;

function colour(reason) {
  if (!series.has(reason)) series.set(reason, `series-${Math.min(series.size + 1, 6)}`);
  return series.get(reason);
}

function count(now) {
  const at = Date.parse(now.at) / 1000;
  const total = now.checks.reduce((sum, counted) => sum + counted.count, 0);
  document.querySelector("[data-checks]").textContent = grouped(total);
  const counts = new Map(now.checks.map(({ reason, count: number }) => [reason, number]));
  const again = before && [...counts].some(([reason, number]) => number < before.counts.get(reason));
  const gone = before && !again ? at - before.at : 0;
  for (const row of document.querySelectorAll("[data-reason]")) {
    const { reason } = row.dataset;
    const number = counts.get(reason) || 0;
    row.querySelector("[data-count]").textContent = grouped(number);
    row.hidden = number === 0;
    if (gone > 0) {
      const rate = (number - before.counts.get(reason)) / gone;
      row.querySelector("[data-rate]").textContent = rate < 10 ? rate.toFixed(1) : grouped(Math.round(rate));
      if (!rates.has(reason)) rates.set(reason, []);
      const kept = rates.get(reason);
      kept.push(rate);
      if (kept.length > SECONDS) kept.shift();
      if (number > 0) row.querySelector(".key").classList.add(colour(reason));
    }
  }
  before = { at, counts };
}

function draw() {
  const chart = document.getElementById("chart");
  const { width, height } = chart.getBoundingClientRect();
  const [left, bottom] = [48, height - 22];
  const shown = [...rates].filter(([, kept]) => kept.some((rate) => rate > 0));
  const top = Math.max(1, ...shown.flatMap(([, kept]) => kept)) * 1.1;
  const x = (place, length) => left + ((SECONDS - length + place) / (SECONDS - 1)) * (width - left - 8);
  const y = (rate) => bottom - (rate / top) * (bottom - 12);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const part of [0, 0.5, 1]) {
    const rate = (top / 1.1) * part;
    drawn.append(svg("line", { x1: left, x2: width - 8, y1: y(rate), y2: y(rate) }));
    const label = svg("text", { x: left - 6, y: y(rate) + 4, "text-anchor": "end" });
    label.textContent = rate < 10 ? rate.toFixed(1) : grouped(Math.round(rate));
    drawn.append(label);
  }
  for (const [text, place, anchor] of [["2 min ago", left, "start"], ["now", width - 8, "end"]]) {
    const label = svg("text", { x: place, y: height - 6, "text-anchor": anchor });
    label.textContent = text;
    drawn.append(label);
  }
  for (const [reason, kept] of shown) {
    const points = kept.map((rate, place) => `${x(place, kept.length).toFixed(1)},${y(rate).toFixed(1)}`);
    drawn.append(svg("path", { class: colour(reason), d: `M${points.join("L")}` }));
  }
  chart.replaceChildren(drawn);
}

async function look() {
  const broken = document.getElementById("broken");
  try {
    const answer = await fetch("/v1/instance");
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const now = await answer.json();
    broken.hidden = true;
    showNumbers(now);
    count(now);
    draw();
  } catch {
    broken.hidden = false;
  }
  return setTimeout(look, 1000);
}

if (document.getElementById("live")) look();

// Changes as they come.
const told = document.getElementById("told");
const watching = document.getElementById("watching");
const statuses = document.getElementById("statuses").content;

function cell(label, content) {
  const made = document.createElement("td");
  made.dataset.label = label;
  made.append(content);
  return made;
}

function tell(change) {
  const row = document.createElement("tr");
  row.className = "new";
  const at = document.createElement("time");
  at.dateTime = change.at || new Date().toISOString();
  at.title = at.dateTime;
  const link = document.createElement("a");
  link.href = `/customers/${encodeURIComponent(change.customerId)}?tenant=${encodeURIComponent(change.tenantId)}`;
  link.textContent = change.customerId;
  const revision = document.createElement("code");
  revision.textContent = change.revision;
  row.append(
    cell("When", at),
    cell("Customer", link),
    cell("Status", statuses.querySelector(`.status-${change.status}`).cloneNode(true)),
    cell("What", change.verb),
    cell("For", change.source),
    cell("Reason", change.reason || ""),
    cell("Revision", revision),
  );
  localize(row);
  told.prepend(row);
  while (told.children.length > CHANGES_KEPT) told.lastElementChild.remove();
}

const changes = new EventSource("/v1/changes");
changes.addEventListener("ready", () => { watching.textContent = "Watching."; });
changes.addEventListener("reset", () => { watching.textContent = "Watching. Some changes were missed."; });
changes.addEventListener("status", (event) => tell(JSON.parse(event.data)));
changes.addEventListener("error", () => { watching.textContent = "Not connected; trying again."; });
