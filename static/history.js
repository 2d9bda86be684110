// What a player's scores were, as a chart to look into: when, and how many. The drawing that came with the page says the
// same without a script, and stays where this one does not run.

import { _, language, number, score } from "./words.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 176;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Steps of an axis whose numbers are whole.
const WHOLE = Array.from({ length: 15 }, (_each, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

// Nothing where the label before says the same already: scores may be less than a second apart.
const onlyOnce = (label, index, labels) => (label === labels[index - 1] ? "" : label);

function options(figure, width, [times, scores, displays]) {
  const zone = figure.dataset.zone;
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: zone });
  const hour = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone });
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23", timeZone: zone });
  const second = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23", timeZone: zone });
  const axis = {
    stroke: token("--ink-faint"),
    grid: { stroke: token("--line"), width: 1 },
    ticks: { stroke: token("--line"), width: 1 },
    font: `12px ${token("--text")}`,
  };
  const written = (every) => (every >= 86400 ? day : every >= 60 ? hour : second);
  const last = displays.length - 1; // said while nothing is pointed at
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
    cursor: { y: false, drag: { setScale: false } },
    scales: { x: { time: true } },
    axes: [
      {
        ...axis,
        space: 80,
        values: (_plot, seconds, _axis, _space, every) =>
          seconds.map((each) => written(every).format(new Date(each * 1000))).map(onlyOnce),
      },
      {
        ...axis,
        show: figure.dataset.format === "integer", // others are written in ways that only the server knows
        size: 60,
        incrs: scores.every(Number.isInteger) ? WHOLE : undefined,
        values: (_plot, shown) => shown.map(number),
      },
    ],
    series: [
      { label: _("When"), value: (_plot, seconds) => moment.format(new Date((seconds ?? times[last]) * 1000)) },
      {
        label: figure.dataset.label,
        stroke: token("--accent"),
        width: 2,
        paths: uPlot.paths.stepped({ align: 1 }),
        value: (_plot, _score, _series, index) => score(displays[index ?? last]),
      },
    ],
  };
}

class History {
  constructor(figure) {
    this.figure = figure;
    this.data = JSON.parse(figure.dataset.series);
    this.drawing = figure.querySelector("svg");
    this.place = document.createElement("div");
    this.place.className = "plot";
    this.drawing.before(this.place);
    // For those who cannot see it, the drawing keeps saying what it shows.
    figure.setAttribute("role", "group");
    figure.setAttribute("aria-label", this.drawing.getAttribute("aria-label"));
    this.drawing.remove();
    figure.querySelector("figcaption")?.remove();
    this.draw();
    dark.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT })).observe(this.place);
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(options(this.figure, this.place.clientWidth, this.data), this.data.slice(0, 2), this.place);
  }
}

for (const figure of document.querySelectorAll(".history")) new History(figure);
