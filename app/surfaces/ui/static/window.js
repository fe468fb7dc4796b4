// What the window does in the browser beside htmx: draws charts, and asks anew for parts that change.
(() => {
  "use strict";
  const plots = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const apart = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 }).replaceAll(",", "\u202f");
  const brief = (value) => new Intl.NumberFormat("en", { notation: "compact" }).format(value);
  const FORMS = {
    number: apart,
    dollars: (value) => "$" + apart(value),
    milliseconds: (value) => (value < 1000 ? value + " ms" : (value / 1000).toFixed(1) + " s"),
  };

  const two = (number) => String(number).padStart(2, "0");
  function times(_, ticks) {  // UTC: hours within two days, else days
    const near = ticks.length > 1 && ticks[ticks.length - 1] - ticks[0] < 48 * 3600;
    return ticks.map((seconds) => {
      const at = new Date(seconds * 1000);
      const day = two(at.getUTCMonth() + 1) + "-" + two(at.getUTCDate());
      return near && at.getUTCHours() ? two(at.getUTCHours()) + ":" + two(at.getUTCMinutes()) : day;
    });
  }

  const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

  function draw(place) {
    const { labels, series } = JSON.parse(place.dataset.chart);
    const form = FORMS[place.dataset.kind] || FORMS.number;
    const shown = (plot, value) => (value === null || value === undefined ? "–" : form(value));
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const old = plots.get(place);
    if (old) old.destroy();
    const plot = new uPlot(
      {
        width: place.clientWidth || 300,
        height: 170,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
        scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
        cursor: { points: { size: 6 } },
        axes: [{ ...axis, size: 32, values: times }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => (form === apart ? brief(tick) : form(tick))) }],
        series: [
          { label: "UTC", value: (_, seconds) => (seconds === null || seconds === undefined ? "–" : moment(seconds)) },
          ...series.map((one, index) => ({
            label: one.name,
            value: shown,
            stroke: colour("--series-" + (index + 1)),
            width: 2,
            dash: [[], [6, 3], [2, 2], [8, 3, 2, 3]][index],
            points: { show: one.values.filter((value) => value !== null).length < 3 },
            spanGaps: true,
          })),
        ],
      },
      [labels, ...series.map((one) => one.values)],
      place,
    );
    plots.set(place, plot);
  }

  function drawAll(root) {
    for (const place of plots.keys()) if (!place.isConnected) plots.delete(place);
    for (const place of root.querySelectorAll("[data-chart]")) draw(place);
  }

  // A part that is written anew keeps what is open, and where the keyboard is.
  let open = [];
  let focus = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    open = [...target.querySelectorAll("details[id][open]")].map((one) => one.id);
    const held = target.contains(document.activeElement) ? document.activeElement : null;
    const details = held && held.closest("details[id]");
    focus = held && (held.id ? "#" + CSS.escape(held.id) : details && "#" + CSS.escape(details.id) + " > summary");
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const target = event.detail.target;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focus) document.querySelector(focus)?.focus({ preventScroll: true });
    drawAll(target);
  });

  // Live parts are asked for again while the page is seen and "Live" is on: those that only calls change when
  // the stream of events tells of some, the others, and all where there is no stream, by the clock.
  const EVENTS = ["ready", "call", "breaker", "budget.threshold"];  // before "ready" something may have been missed
  const SOON = 2;
  const RARELY = 60;
  const asked = new Map();
  let source = null;
  let changed = 0;

  const isLive = () => {
    const choice = document.querySelector("[data-live-choice]");
    return !document.hidden && (!choice || choice.checked);
  };

  function listen() {
    const wanted = isLive() && document.body.dataset.events && document.querySelector("[data-on-events]");
    if (wanted && !source) {
      source = new EventSource(document.body.dataset.events);
      for (const name of EVENTS) source.addEventListener(name, () => { changed = Date.now(); });
    } else if (!wanted && source) {
      source.close();
      source = null;
    }
  }

  function refresh() {
    listen();
    if (!isLive()) return;
    const now = Date.now();
    for (const part of document.querySelectorAll("[data-live]")) {
      const last = asked.get(part) || now;
      const pushed = "onEvents" in part.dataset && source && source.readyState === EventSource.OPEN;
      const wait = pushed ? (changed > last ? SOON : RARELY) : Number(part.dataset.live);
      asked.set(part, last);
      if (now - last < wait * 1000) continue;
      asked.set(part, now);
      htmx.trigger(part, "refresh");
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    drawAll(document);
    const here = document.querySelector(".top nav [aria-current]");  // the row of pages scrolls on a narrow screen
    if (here) here.closest("nav").scrollLeft = here.offsetLeft - 24;
    setInterval(refresh, 1000);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
    let timer = 0;
    addEventListener("resize", () => {
      clearTimeout(timer);
      timer = setTimeout(() => drawAll(document), 200);
    });
  });
})();
