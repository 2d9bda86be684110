// What the players' pages use of uPlot: static/history.js imports it.
export { default } from "uplot";
