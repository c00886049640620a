// Keeps the open page up to date: when a sighting is added, and when a reload replaces the worker.
"use strict";

const LONGEST_WAIT = 1000;
const element = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let pid = Number(element("worker").dataset.pid); // of the worker whose page this is
let lostAt = 0; // when the WebSocket went away

/** Fetch this page again and exchange what may have changed. The form keeps what was typed. */
async function refresh() {
  const response = await fetch(location.href);
  if (response.status >= 500) return location.replace(location.href); // broken code: show its traceback
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of document.querySelectorAll("[data-refresh]")) {
    const fresh = page.getElementById(part.id);
    if (fresh) part.replaceWith(fresh);
  }
}

function showConnection(live) {
  element("connection").className = live ? "connection live" : "connection";
  element("connection").textContent = live ? "live" : "waiting for the worker";
}

async function workerSaidHello(worker) {
  const before = pid;
  pid = worker.pid;
  showConnection(true);
  if (before === pid) return;
  const away = Math.round(performance.now() - lostAt);
  await refresh();
  element("reload").textContent = `reloaded: ${before} → ${pid}, away for ${away} ms`;
  element("reload").hidden = false;
}

async function sightingAdded(sighting) {
  await refresh();
  element(`sighting-${sighting.id}`)?.classList.add("fresh");
}

/** Talk to the worker until one of the two goes away. Resolves to whether there was a conversation. */
function converse() {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/news`);
    let answered = false;
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      answered = true;
      if (message.type === "worker") workerSaidHello(message.worker);
      else sightingAdded(message.sighting);
    };
    socket.onclose = () => resolve(answered);
  });
}

async function followNews() {
  for (let pause = 0; ; pause = Math.min(2 * pause + 50, LONGEST_WAIT)) {
    if (await converse()) {
      pause = 0;
      lostAt = performance.now();
    } else {
      await refresh().catch(() => {}); // nobody listens: the next attempt may find somebody
    }
    showConnection(false);
    await wait(pause);
  }
}

function showPulse({ data }) {
  const pulse = JSON.parse(data);
  element("uptime").textContent = `${pulse.uptime.toFixed(0)} s`;
  for (const figure of document.querySelectorAll("[data-figure]")) {
    figure.textContent = pulse[figure.dataset.figure].toLocaleString();
  }
}

function followPulse() {
  const stream = new EventSource("/events");
  stream.addEventListener("pulse", showPulse);
  stream.onerror = () => {
    // The browser reconnects by itself, except after an answer that is an error.
    if (stream.readyState === EventSource.CLOSED) setTimeout(followPulse, LONGEST_WAIT);
  };
}

followNews();
followPulse();
