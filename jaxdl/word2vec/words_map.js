// The map of the most frequent words: a canvas that zooms, moves and is searched. Then the start.

const canvas = byId("map"), mapped = map.x.length;
const spread = (values) => [Math.min(...values), Math.max(...values)];
const [left, right] = spread(map.x), [low, high] = spread(map.y);
const view = {x: (left + right) / 2, y: (low + high) / 2, zoom: 1};
let asked = new Set(), near = new Set(), wanted = null; // rows: in the query, its neighbours, searched

const size = () => [canvas.clientWidth, canvas.clientHeight];
/** Pixels of a unit of the map. */
function scale() {
  const [across, down] = size(), room = 0.9;
  return view.zoom * Math.min((room * across) / (right - left || 1), (room * down) / (high - low || 1));
}

function place(row) {
  const [across, down] = size(), by = scale();
  return [across / 2 + (map.x[row] - view.x) * by, down / 2 + (map.y[row] - view.y) * by];
}

function draw() {
  const [across, down] = size(), dense = devicePixelRatio || 1, context = canvas.getContext("2d");
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name).trim();
  canvas.width = Math.round(across * dense);
  canvas.height = Math.round(down * dense);
  context.scale(dense, dense);
  context.textAlign = "center";
  context.textBaseline = "middle";
  const taken = [], order = [...map.x.keys()];
  const weight = (row) => (row === wanted ? 3 : asked.has(row) ? 2 : near.has(row) ? 1 : 0);
  order.sort((a, b) => weight(b) - weight(a) || a - b); // the most frequent first
  for (const row of order) {
    const [x, y] = place(row), chosen = weight(row);
    if (x < 0 || y < 0 || x > across || y > down) continue;
    const font = (chosen ? 15 : 10 + 6 * (1 - row / mapped)) * Math.min(1.3, 0.9 + 0.1 * view.zoom);
    context.font = `${chosen ? "bold " : ""}${font}px system-ui, sans-serif`;
    const text = shown(words[row]).slice(0, 30), half = context.measureText(text).width / 2 + 2;
    const box = [x - half, y - 0.6 * font, x + half, y + 0.6 * font];
    context.fillStyle = colour(chosen > 1 ? "--line" : chosen ? "--link" : "--ink");
    if (taken.some((one) => one[0] < box[2] && one[2] > box[0] && one[1] < box[3] && one[3] > box[1])) {
      context.globalAlpha = 0.45;
      context.fillRect(x - 1, y - 1, 2.5, 2.5); // no room for its text
    } else {
      taken.push(box);
      context.fillText(text, x, y);
    }
    context.globalAlpha = 1;
  }
  byId("map-status").dataset.zoom = view.zoom.toFixed(2);
}

/** Shows rows of a query and their neighbours in colour. */
function mark(those, neighbours) {
  asked = new Set(those);
  near = new Set(neighbours);
  draw();
}

/** Zooms by a factor; the place (x, y) in pixels stays where it is. */
function zoom(factor, x = size()[0] / 2, y = size()[1] / 2) {
  const [across, down] = size(), before = scale();
  view.zoom = Math.min(60, Math.max(1, view.zoom * factor));
  const change = 1 / before - 1 / scale();
  view.x += (x - across / 2) * change;
  view.y += (y - down / 2) * change;
  draw();
}

function move(x, y) {
  view.x = Math.min(right, Math.max(left, view.x + x / scale()));
  view.y = Math.min(high, Math.max(low, view.y + y / scale()));
  draw();
}

function whole() {
  Object.assign(view, {x: (left + right) / 2, y: (low + high) / 2, zoom: 1});
  draw();
}

function find() {
  const text = byId("find").value.trim(), told = byId("map-status"), low = text.toLowerCase();
  const exact = rowOf(text);
  const row = exact ?? words.findIndex((word, n) => n < mapped && word.toLowerCase().startsWith(low));
  wanted = text && row >= 0 && row < mapped ? row : null;
  told.textContent = "";
  if (wanted !== null) {
    Object.assign(view, {x: map.x[wanted], y: map.y[wanted], zoom: Math.max(6, view.zoom)});
    told.textContent = `${shown(words[wanted])} is in the middle of the map.`;
  } else if (text) {
    told.textContent = exact === undefined ? `No word of the map begins with ${shown(text)}.` : `${shown(text)} is not among the ${mapped} words of the map.`;
  }
  draw();
}

const pointers = new Map(); // fingers that are down: id -> [x, y]
canvas.onpointerdown = (event) => {
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointerup = canvas.onpointercancel = (event) => pointers.delete(event.pointerId);
canvas.onpointermove = (event) => {
  const before = pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
  if (!before) return;
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
    zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else move(before[0] - now[0], before[1] - now[1]);
  pointers.set(event.pointerId, now);
};
canvas.ondblclick = (event) => zoom(2, event.offsetX, event.offsetY);
canvas.addEventListener("wheel", (event) => {
  if (event.deltaY < 0 || view.zoom > 1) event.preventDefault(); // at its smallest the page scrolls
  zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, {passive: false});
canvas.onkeydown = (event) => {
  const step = {ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60]}[event.key];
  const factor = {"+": 1.5, "=": 1.5, "-": 1 / 1.5}[event.key];
  if ((!step && !factor && event.key !== "0") || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (step) move(...step);
  else if (factor) zoom(factor);
  else whole();
};
byId("closer").onclick = () => zoom(1.5);
byId("farther").onclick = () => zoom(1 / 1.5);
byId("whole").onclick = whole;
byId("find").oninput = find;
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// The start.

const few = words.length < all ? `the ${words.length.toLocaleString("en")} most frequent of ${all.toLocaleString("en")}` : words.length.toLocaleString("en");
byId("about").textContent =
  `Vectors of ${few} words, ${width} numbers each, rounded to 8 bits. ` +
  "All is computed in this page, and it opens no address.";
byId("map-part").hidden = mapped < 2;
canvas.setAttribute("aria-label", `Map of the ${mapped} most frequent words`);
byId("map-about").textContent =
  `The ${mapped.toLocaleString("en")} most frequent words by t-SNE: similar ones lie near each other; the axes mean nothing. ` +
  "Drag it, zoom with the wheel, two fingers or + and -, move it with the arrow keys, see all with 0.";

{
  const plain = words.map((word, row) => ({word, row})).filter(({word}) => /^\p{L}{4,}$/u.test(word)).slice(20);
  const first = plain[0] ?? {word: words[0], row: 0};
  const others = nearest([{row: first.row, weight: 1}], 3).map(([row]) => words[row]);
  const fine = (word) => word && !/\s/.test(word);
  const examples = [first.word];
  const analogy = ["king", "man", "woman"];
  if (analogy.every((word) => rows.has(word))) examples.push("king - man + woman");
  else if (plain[1] && plain[2]) examples.push(`${first.word} - ${plain[1].word} + ${plain[2].word}`);
  const far = plain.at(-1)?.word;
  if (others.slice(0, 2).every(fine) && others.length > 1 && far) examples.push([first.word, ...others.slice(0, 2), far].join(" "));
  for (const example of examples) chip(byId("examples"), example, () => ask(example));
  byId("query").value = fine(first.word) ? first.word : "";
  look();
}
