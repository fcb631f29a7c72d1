// Curves: elements of class plot carry their values as JSON. A list has a value for each step; lists by name have one for each minute
// since data-from (seconds of Unix time), and each is drawn in the colour of the .key beside it that comes in its place.
"use strict";
const drawn = new Map();
// steps of the axis in seconds, no finer than the values are, and the time of day at each as the page writes it: in UTC
const MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 240].map((minutes) => 60 * minutes);
const clock = (_, times) => times.map((seconds) => new Date(1000 * seconds).toISOString().slice(11, 16));
const draw = (element) => {
  drawn.get(element)?.destroy();
  drawn.delete(element);
  if (element.hidden) return;
  const given = JSON.parse(element.dataset.values);
  const lists = Array.isArray(given) ? [given] : Object.values(given);
  const timed = "from" in element.dataset;
  const from = Number(element.dataset.from);
  const keys = element.parentElement.querySelectorAll(".key");
  // style.css gives the element and the keys the theme's colours
  const { color, textDecorationColor: soft, borderTopColor: line } = getComputedStyle(element);
  const axis = { stroke: soft, grid: { stroke: line }, ticks: { stroke: line } };
  const curve = (values, n) => ({
    stroke: keys[n] ? getComputedStyle(keys[n]).color : color,
    width: 2,
    points: { show: values.length < 2 },
  });
  const steps = lists[0].map((_, step) => (timed ? from + 60 * step : step));
  // the first minute alone stands in the middle: uPlot would show it with a day
  const within = (_, first, last) => (steps.length === 1 ? [first - 60, first + 60] : [first, last]);
  const options = {
    width: element.clientWidth,
    height: 200,
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "UTC"),
    scales: timed ? { x: { range: within }, y: { range: (_, __, most) => [0, most * 1.1 || 1] } } : { x: { time: false } },
    axes: [timed ? { ...axis, incrs: MINUTES, values: clock } : { ...axis }, { ...axis, size: 60 }],
    series: [{}, ...lists.map(curve)],
  };
  drawn.set(element, new uPlot(options, [steps, ...lists], element));
};
const all = () => document.querySelectorAll(".plot").forEach(draw);
all();
document.addEventListener("theme", all);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
addEventListener("resize", all);
// where a page's stream brings new values
new MutationObserver((changes) => new Set(changes.map((change) => change.target)).forEach(draw)).observe(document.body, {
  subtree: true,
  attributeFilter: ["data-values"],
});
