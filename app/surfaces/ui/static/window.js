// What the window does in the browser beside htmx: draws charts, and asks anew for parts that change.
(() => {
  "use strict";
  const plots = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const FORMS = {
    number: (value) => value.toLocaleString("en"),
    dollars: (value) => "$" + value.toLocaleString("en", { maximumFractionDigits: 6 }),
    milliseconds: (value) => (value < 1000 ? value + " ms" : (value / 1000).toFixed(1) + " s"),
  };

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
        axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map(form) }],
        series: [
          { value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          ...series.map((one, index) => ({
            label: one.name,
            value: shown,
            stroke: colour("--series-" + (index + 1)),
            width: 2,
            dash: [[], [6, 3], [2, 2], [8, 3, 2, 3]][index],
            points: { show: labels.length < 3 },
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

  // Live parts are asked for again while the page is seen and "Live" is on.
  const isLive = () => {
    const choice = document.querySelector("[data-live-choice]");
    return !document.hidden && (!choice || choice.checked);
  };
  const due = new Map();
  function refresh() {
    if (!isLive()) return;
    const now = Date.now();
    for (const part of document.querySelectorAll("[data-live]")) {
      const at = due.get(part) || 0;
      if (now < at) continue;
      due.set(part, now + part.dataset.live * 1000);
      if (at) htmx.trigger(part, "refresh");
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    drawAll(document);
    setInterval(refresh, 1000);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
    let timer = 0;
    addEventListener("resize", () => {
      clearTimeout(timer);
      timer = setTimeout(() => drawAll(document), 200);
    });
  });
})();
