// One column's chart: the last known rows, the median, the band, and a mark under the pointer.

const SVG = "http://www.w3.org/2000/svg";

function shape(tag, parent, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent?.append(element);
  return element;
}

/** Numbers of one size, to six digits. */
function formatOf(values) {
  const most = Math.max(...values.map(Math.abs).filter(Number.isFinite), 0);
  if (most && (most >= 1e9 || most < 1e-4)) return (value) => value.toPrecision(6);
  const decimals = most ? Math.min(9, Math.max(0, 5 - Math.floor(Math.log10(most)))) : 0;
  return (value) => value.toFixed(decimals);
}

/** About `count` round numbers around `low` to `high`, and how they are written. */
function ticksOf(low, high, count) {
  const raw = (high - low) / count, size = 10 ** Math.floor(Math.log10(raw));
  const step = size * ([1, 2, 5].find((n) => n * size >= raw) ?? 10), found = [];
  for (let at = Math.floor(low / step); found.length < 2 || (at - 1) * step < high; at++) found.push(at * step);
  const most = Math.max(Math.abs(low), Math.abs(high)), decimals = Math.max(0, -Math.floor(Math.log10(step)));
  return {found, text: (value) => (most >= 1e6 || decimals > 4 ? String(Number(value.toPrecision(3))) : value.toFixed(decimals))};
}

/**
 * Draw into an empty svg of `width` pixels; returns `point(at)`, which moves the mark (null: none).
 * `panel` is {label, known, median, low, high, times}: numbers of the known rows and of the steps
 * that follow, low and high perhaps null; a text for each of all.
 */
function drawChart(svg, panel, width) {
  const {known, median, low, high, times} = panel, height = 260;
  const all = [...known, ...median], ends = [...all, ...(low ?? []), ...(high ?? [])].filter(Number.isFinite);
  let [least, most] = [ends.reduce((a, b) => Math.min(a, b)), ends.reduce((a, b) => Math.max(a, b))];
  if (least === most) [least, most] = [least - (Math.abs(least) || 1), most + (Math.abs(most) || 1)];
  const ticks = ticksOf(least, most, 5), labels = ticks.found.map(ticks.text);
  [least, most] = [ticks.found[0], ticks.found[ticks.found.length - 1]];
  const left = 14 + 7.5 * Math.max(...labels.map((text) => text.length)), right = 10, top = 8, bottom = 26;
  const x = (at) => left + ((width - left - right) * at) / Math.max(1, all.length - 1);
  const y = (value) => top + ((height - top - bottom) * (most - value)) / (most - least);
  const place = (value, at) => `${x(at).toFixed(1)},${Math.max(-1e4, Math.min(1e4, y(value))).toFixed(1)}`;
  const start = known.length - 1, after = (row) => row.map((value, n) => place(value, start + 1 + n));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  ticks.found.forEach((value, n) => {
    shape("line", svg, {class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value)});
    shape("text", svg, {class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end"}, labels[n]);
  });
  const wide = 11 * Math.max(...times.map((text) => text.length)) + 10; // the first one stands beside its mark
  const count = Math.max(1, Math.min(8, Math.floor((width - left - right) / wide)));
  for (let n = 0; n <= count; n++) {
    const at = Math.round((n * (all.length - 1)) / count);
    const anchor = n === 0 ? "start" : n === count ? "end" : "middle";
    shape("line", svg, {class: "grid", x1: x(at), x2: x(at), y1: height - bottom, y2: height - bottom + 4});
    shape("text", svg, {class: "tick", x: x(at), y: height - 8, "text-anchor": anchor}, times[at]);
  }
  shape("line", svg, {class: "now", x1: x(start), x2: x(start), y1: top, y2: height - bottom});
  if (low) {
    const from = place(known[start], start);
    shape("polygon", svg, {class: "band", points: [from, ...after(high), ...after(low).reverse()].join(" ")});
  }
  shape("polyline", svg, {class: "known", points: known.map(place).join(" ")});
  shape("polyline", svg, {class: "median", points: [place(known[start], start), ...after(median)].join(" ")});
  const line = shape("line", svg, {class: "now", y1: top, y2: height - bottom});
  const dot = shape("circle", svg, {class: "dot", r: 4.5});
  const point = (at) => {
    for (const mark of [line, dot]) mark.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at === null) return;
    for (const name of ["x1", "x2"]) line.setAttribute(name, x(at));
    dot.setAttribute("cx", x(at));
    dot.setAttribute("cy", y(all[at]));
  };
  point(null);
  const atPixel = (pixel) => Math.round(((pixel - left) * (all.length - 1)) / (width - left - right));
  return {point, at: (pixel) => Math.max(0, Math.min(all.length - 1, atPixel(pixel)))};
}
