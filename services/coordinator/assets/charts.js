// Curves: elements of class plot carry their values as JSON.
"use strict";
const drawn = new Map();
const draw = (element) => {
  drawn.get(element)?.destroy();
  const values = JSON.parse(element.dataset.values);
  // style.css gives the element the theme's colours
  const { color, textDecorationColor: soft, borderTopColor: line } = getComputedStyle(element);
  const axis = { stroke: soft, grid: { stroke: line }, ticks: { stroke: line } };
  const options = {
    width: element.clientWidth,
    height: 200,
    legend: { show: false },
    scales: { x: { time: false } },
    axes: [{ ...axis }, { ...axis, size: 60 }],
    series: [{}, { stroke: color, width: 2, points: { show: values.length < 2 } }],
  };
  drawn.set(element, new uPlot(options, [values.map((_, step) => step), values], element));
};
const all = () => document.querySelectorAll(".plot").forEach(draw);
all();
document.addEventListener("theme", all);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
addEventListener("resize", all);
