// The page: a series in, what follows it out. series.js reads, network.js computes, chart.js draws.

const data = JSON.parse(byId("data").textContent);
const networks = networksOf(data, new Float32Array(bytesOf(byId("weights").textContent.trim()).buffer));
const TYPED = 300_000; // characters; a longer text is not put into the box
let source = null; // {name, text, before, heading}: before is how many rows are before the first
const heading = data.inside ? data.inside.csv.split("\n", 1)[0] : null;
let shown = null; // what `compute` found
let panels = [], place = null;

function complain(text) {
  make("li", byId("errors"), text);
  byId("errors").hidden = false;
}

function tell(list, lines) {
  list.replaceChildren();
  list.hidden = !lines.length;
  for (const line of lines) make("li", list, line);
}

/** Read the source, forecast and show; or say why not, and show nothing old. */
function compute() {
  tell(byId("errors"), []);
  byId("result").hidden = true;
  byId("status").textContent = "";
  shown = null;
  try {
    const series = readSeries(source.text, data.columns, byId("decimal").value, source.heading);
    check(series);
    shown = {series, before: source.before, name: source.name};
  } catch (error) {
    tell(byId("notes"), []);
    complain(`${source.name}: ${error.message}`);
    return;
  }
  follow();
}

function check({values}) {
  if (values.length < data.given) throw new Error(`${values.length} rows; the forecast needs the last ${data.given}`);
  if (data.transform.log && values.some((row) => row.some((value) => value <= 0))) {
    throw new Error("holds values that are not positive, and logarithms were learnt");
  }
}

/** The steps after what is shown, as many as asked for. */
function follow() {
  const {series, before} = shown, {values, times, step} = series, count = horizon();
  Object.assign(shown, forecast(data, networks, values, count));
  const label = (known, next) => [...known, ...next];
  const rows = values.map((_, n) => n + 1 + before), next = Array.from({length: count}, (_, n) => values.length + before + n + 1);
  shown.times = times
    ? label(times.values, nextTimes(times, step, count)).map((time) => showTime(time, times.unit))
    : label(rows, next).map(String);
  const notes = [...series.told], varied = unlike(data, values);
  if (data.bands && varied > 3) {
    notes.push(`the last steps vary ${varied.toPrecision(3)} times as much as those learnt from: the forecast is outside of what was learnt`);
  }
  if (data.bands && count > data.length) {
    notes.push(`${count} steps are predicted; the run measured its errors over ${data.length}`);
  }
  tell(byId("notes"), notes);
  const at = times ? `, ${shown.times[0]} to ${shown.times[values.length - 1]}, a step is ${showStep(step)}` : "";
  byId("status").textContent = `${shown.name}: ${before ? "the last " : ""}${values.length} rows${before ? ` of ${before + values.length}` : ""}${at}. Computed in this page.`;
  show();
}

function show() {
  const {series, median, low, high, times} = shown, {names, values} = series, count = median.length;
  byId("result").hidden = false;
  const seasons = Math.max(data.given, 2 * count, 3 * data.period), first = Math.max(0, values.length - seasons);
  const column = (rows, c) => rows && rows.map((row) => row[c]);
  byId("charts").replaceChildren();
  place = null;
  panels = names.map((label, c) => {
    const figure = make("figure", byId("charts"));
    const caption = make("figcaption", figure), known = column(values.slice(first), c);
    make("bdi", caption, label);
    const text = make("span", caption), svg = shape("svg", figure, {tabindex: 0, role: "img"});
    const panel = {label, first, known, median: column(median, c), low: column(low, c), high: column(high, c), times: times.slice(first), svg, text};
    panel.format = formatOf([...known, ...panel.median]);
    const last = panel.median[count - 1];
    svg.setAttribute("aria-label", `${label}: ${known.length} known rows, then ${count} steps to ${panel.format(last)} at ${times[times.length - 1]}; arrow keys read single values`);
    svg.onpointermove = svg.onpointerdown = (event) => {
      const box = svg.getBoundingClientRect();
      point(panel.chart.at(event.clientX - box.left));
    };
    svg.onkeydown = move;
    return panel;
  });
  draw();
  fillTable();
}

/** All charts, as wide as the page. */
function draw() {
  for (const panel of panels) {
    panel.svg.replaceChildren();
    panel.chart = drawChart(panel.svg, panel, Math.max(240, panel.svg.parentElement.clientWidth));
  }
  point(place);
}

/** The values at a place, in each chart; null: none. */
function point(at) {
  place = at;
  for (const {chart, text, known, median, low, high, times, format} of panels) {
    chart.point(at);
    text.textContent = "\u00a0";
    if (at === null) continue;
    const step = at - known.length;
    text.textContent = step < 0 ? `${times[at]}: ${format(known[at])}, known` : `${times[at]}: ${format(median[step])}`;
    if (step >= 0 && low) text.textContent += ` (${format(low[step])} to ${format(high[step])})`;
  }
}

function move(event) {
  const {known, median} = panels[0], last = known.length + median.length - 1;
  const jump = {ArrowLeft: -1, ArrowRight: 1, Home: -last, End: last}[event.key] ?? 0;
  if (!jump) {
    if (event.key === "Escape") point(null);
    return;
  }
  event.preventDefault();
  const from = place ?? known.length - 1;
  point(Math.max(0, Math.min(last, from + jump * (event.shiftKey ? 10 : 1))));
}

/** The names of the columns of the table and of the CSV. */
const ends = () => (shown.low ? ["", "_p10", "_p90"] : [""]);
const headings = () => [shown.series.times ? "time" : "step", ...shown.series.names.flatMap((name) => ends().map((end) => name + end))];

/** A row for each step: its time, and for each column the median, low and high. */
function rowsOf() {
  const {series, median, low, high, times} = shown, known = series.values.length;
  return median.map((row, n) => [times[known + n], ...row.flatMap((value, c) => (low ? [value, low[n][c], high[n][c]] : [value]))]);
}

function fillTable() {
  const [head, body] = [byId("table").tHead, byId("table").tBodies[0]], rows = rowsOf();
  head.replaceChildren();
  body.replaceChildren();
  const line = make("tr", head);
  for (const text of headings()) make("th", line, text).scope = "col";
  const each = panels.flatMap(({format}) => ends().map(() => format));
  rows.slice(0, 1000).forEach(([time, ...values]) => {
    const row = make("tr", body);
    make("th", row, time).scope = "row";
    values.forEach((value, n) => make("td", row, each[n](value)));
  });
  byId("more").textContent = rows.length > 1000 ? `The table shows the first 1000 of ${rows.length} steps; the CSV has all.` : "";
}

function save() {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [headings(), ...rowsOf().map((row) => row.map(String))].map((row) => `${row.map(cell).join(",")}\n`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(lines, {type: "text/csv"}));
  link.download = "prediction.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// What is asked for.

/** The number in the box, within its limits. */
function horizon() {
  const {value, max} = byId("steps"), asked = Math.round(Number(value));
  return Math.max(1, Math.min(Number(max), asked || data.length));
}

function ask(value) {
  byId("steps").value = value;
  byId("slider").value = value;
  if (shown) follow();
}

function give(name, text, before = 0, names = null) {
  source = {name, text, before, heading: names};
  byId("text").value = text.length <= TYPED ? text : "";
  byId("text").placeholder = text.length <= TYPED ? "" : `${name}: ${text.length} characters`;
  compute();
}

/** Bytes as UTF-16 by its mark, UTF-8, or Latin-1. */
function decode(bytes) {
  const mark = bytes[0] * 256 + bytes[1];
  if (mark === 0xfffe || mark === 0xfeff) return new TextDecoder(mark === 0xfffe ? "utf-16le" : "utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", {fatal: true}).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

async function take(files) {
  if (!files.length) return;
  const [file] = files;
  give(file.name, decode(new Uint8Array(await file.arrayBuffer())));
  if (files.length > 1) complain(`${files.length} files; the first was taken`);
}

let typing = null;
byId("text").oninput = (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    source = {name: "what you typed", text: event.target.value, before: 0, heading};
    compute();
  }, 200);
};
byId("choose").onclick = () => byId("file").click();
byId("file").onchange = (event) => take([...event.target.files]).then(() => { event.target.value = ""; });
byId("inside").onclick = () => give("what was trained on", data.inside.csv, data.inside.before, heading);
byId("decimal").onchange = () => source && compute();
byId("slider").oninput = (event) => ask(event.target.value);
byId("steps").onchange = () => ask(horizon());
byId("save").onclick = save;
addEventListener("resize", () => panels.length && draw());
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take([...event.dataTransfer.files]);
});

byId("about").textContent = `The next steps of ${data.columns.join(", ")}, by ${data.who}. What you give stays in this page.`;
byId("within").textContent = `Inside: ${data.inside_words}.` + (data.networks ? ` ${data.kind}.` : "");
byId("slider").max = Math.max(50, 4 * data.length);
byId("band").hidden = !data.bands;
ask(data.length);
byId("inside").hidden = !data.inside;
if (data.inside) byId("inside").click();
else byId("status").textContent = `Give at least ${data.given} rows.`;
