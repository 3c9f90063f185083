// The page: photos in, each network's classes over them. network.js computes, in workers.
"use strict";

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const {networks, classes} = data;
const colours = data.colours.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
const scriptURL = URL.createObjectURL(new Blob([byId("network").textContent], {type: "text/javascript"}));
const items = []; // photos: {name, blob, note, button, width, height, pixels, results}
const views = []; // a photo alone, then one for each network: {network, canvas, mark, text, save}
let shown = null, place = null;

function make(tag, parent, text = "") {
  const element = document.createElement(tag);
  element.textContent = text; // names of files and classes stay text
  parent?.append(element);
  return element;
}

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

// With a space that does not break; a class of a few pixels is not shown as none.
const percent = (share) => `${share > 0 && share < 0.0005 ? "<\u00a00.1" : (100 * share).toFixed(1)}\u00a0%`;
const message = (text) => { byId("status").textContent = text; };

function complain(text) {
  byId("errors").hidden = false;
  make("li", byId("errors"), text);
}

// Computing: a worker for each network, the finest first; on few cores one at a time.

const atOnce = (navigator.hardwareConcurrency || 1) > 2 ? networks.length : 1;
const workers = networks.map(() => null);
const jobs = []; // {item, number} that wait
const running = new Map(); // number of a network -> {item, pixels, share}

function workerOf(number) {
  if (!workers[number]) {
    const worker = new Worker(scriptURL), bytes = bytesOf(byId(`weights-${number}`).textContent);
    worker.onmessage = ({data}) => answer(number, data);
    worker.onerror = (event) => {
      event.preventDefault();
      complain(`${networks[number].name} stopped: ${event.message || "out of memory"}`);
      worker.terminate();
      workers[number] = null;
      running.delete(number);
      next();
    };
    worker.postMessage({described: networks[number], numbers: new Float32Array(bytes.buffer)});
    workers[number] = worker;
  }
  return workers[number];
}

function enqueue(item) {
  const wanted = networks.map((_, number) => ({item, number})).reverse();
  jobs.length = 0; // only what is shown is computed
  jobs.push(...wanted.filter(({number}) => !item.results[number] && running.get(number)?.pixels !== item.pixels));
  next();
}

function next() {
  while (running.size < atOnce) {
    const at = jobs.findIndex(({number}) => !running.has(number));
    if (at < 0) break;
    const [{item, number}] = jobs.splice(at, 1), {pixels, width, height} = item;
    running.set(number, {item, pixels, share: 0});
    workerOf(number).postMessage({pixels, width, height});
  }
  tell();
}

function answer(number, reply) {
  const job = running.get(number), {item} = job;
  if (reply.share !== undefined) {
    job.share = reply.share;
    tell();
    return;
  }
  running.delete(number);
  if (item.pixels === job.pixels) { // its size was not changed meanwhile
    const shares = new Float64Array(classes.length);
    for (const one of reply.classes) shares[one] += 1 / reply.classes.length;
    item.results[number] = {...reply, shares};
    if (item === shown) show();
  }
  next();
}

function tell() {
  const bar = byId("progress"), busy = [...running].map(([number]) => networks[number].name);
  if (!shown) return;
  const done = shown.results.filter(Boolean);
  let share = done.length;
  for (const job of running.values()) if (job.item === shown) share += job.share;
  bar.value = share / networks.length;
  bar.hidden = !busy.length;
  const seconds = networks.flatMap(({name}, n) => (shown.results[n] ? [`${name} ${shown.results[n].seconds.toFixed(1)} s`] : []));
  message(busy.length ? `Computing ${busy.join(", ")} …` : `Computed in this page: ${seconds.join(", ")}.`);
}

// Photos.

async function decode(item) {
  const side = Number(byId("side").value);
  // As the camera held it; colours as they are stored, which is what the networks were trained on.
  const bitmap = await createImageBitmap(item.blob, {imageOrientation: "from-image", colorSpaceConversion: "none"});
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(scale * bitmap.width));
  canvas.height = Math.max(1, Math.round(scale * bitmap.height));
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const {width, height} = canvas, pixels = context.getImageData(0, 0, width, height).data;
  const notes = [`${width}x${height} pixels`];
  if (scale < 1) notes.push(`scaled down from ${bitmap.width}x${bitmap.height}`);
  if (pixels.some((value, n) => n % 4 === 3 && value < 255)) notes.push("what is transparent was taken for black");
  bitmap.close();
  Object.assign(item, {side, width, height, pixels, note: notes.join(", "), results: networks.map(() => null)});
}

async function select(item) {
  try {
    if (item.side !== Number(byId("side").value)) await decode(item);
  } catch {
    complain(`${item.name}: cannot be read as an image here; save it as JPEG or PNG`);
    item.button?.remove();
    return false;
  }
  if (!item.button) addButton(item);
  shown = item;
  for (const {button} of items) button.setAttribute("aria-pressed", String(button === item.button));
  place = null;
  show();
  enqueue(item);
  return true;
}

function addButton(item) {
  const button = make("button", byId("strip")), small = make("canvas", button);
  const scale = 128 / Math.max(item.width, item.height);
  small.width = Math.max(1, Math.round(scale * item.width));
  small.height = Math.max(1, Math.round(scale * item.height));
  small.getContext("2d").drawImage(photoCanvas(item), 0, 0, small.width, small.height);
  button.type = "button";
  button.title = item.name;
  button.setAttribute("aria-label", item.name);
  button.onclick = () => select(item);
  item.button = button;
  items.push(item);
}

function photoCanvas(item) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [item.width, item.height];
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(item.pixels), item.width, item.height), 0, 0);
  return canvas;
}

async function add(files) {
  byId("errors").replaceChildren();
  byId("errors").hidden = true;
  let first = null;
  for (const file of files) {
    const item = {name: file.name, blob: file};
    try {
      await decode(item);
    } catch {
      complain(`${file.name}: cannot be read as an image here; save it as JPEG or PNG`);
      continue;
    }
    addButton(item);
    first ??= item;
  }
  if (first) await select(first);
}

// Drawing.

function paint(view) {
  const {width, height} = shown, result = view.number === null ? null : shown.results[view.number];
  const {canvas} = view, alpha = Number(byId("opacity").value) / 100;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.classList.toggle("small-image", Math.max(width, height) < 200);
  const picture = new ImageData(new Uint8ClampedArray(shown.pixels), width, height), bytes = picture.data;
  for (let n = 0; n < width * height; n++) {
    bytes[4 * n + 3] = 255;
    const one = result ? result.classes[n] : 0;
    if (one === 0) continue; // the background leaves the photo
    for (let c = 0; c < 3; c++) bytes[4 * n + c] = Math.round(alpha * colours[one][c] + (1 - alpha) * bytes[4 * n + c]);
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
  if (view.save) view.save.disabled = !result;
  const found = result ? classes.flatMap((name, c) => (result.shares[c] > 0 ? [`${name} ${percent(result.shares[c])}`] : [])) : [];
  canvas.setAttribute("aria-label", [`${view.title}: ${shown.name}`, ...found].join(", "));
}

function show() {
  byId("result").hidden = false;
  byId("name").textContent = shown.name;
  make("small", byId("name"), ` ${shown.note}`).className = "small";
  views.forEach(paint);
  point();
  const [head, body] = [byId("legend").tHead, byId("legend").tBodies[0]];
  head.replaceChildren();
  body.replaceChildren();
  const row = make("tr", head);
  for (const text of ["class", ...networks.map(({name}) => name)]) make("th", row, text).scope = "col";
  const share = (number, c) => shown.results[number]?.shares[c] ?? 0;
  const present = classes.map((_, c) => networks.some((_, number) => share(number, c) > 0));
  classes.forEach((name, c) => {
    if (!present[c]) return;
    const line = make("tr", body), heading = make("th", line);
    heading.scope = "row";
    const swatch = make("canvas", heading);
    [swatch.width, swatch.height] = [1, 1];
    swatch.setAttribute("aria-hidden", "true");
    if (c) {
      const context = swatch.getContext("2d");
      context.fillStyle = data.colours[c];
      context.fillRect(0, 0, 1, 1);
    }
    make("bdi", heading, name);
    if (!c) make("span", heading, " (photo shows)").className = "small";
    networks.forEach((_, number) => make("td", line, shown.results[number] ? percent(share(number, c)) : "…"));
  });
  const absent = classes.filter((_, c) => !present[c]);
  const all = shown.results.every(Boolean);
  byId("absent").textContent = all && absent.length ? `Not found: ${absent.join(", ")}.` : "";
}

/** The class under `place` ({x, y} in pixels; null: nowhere), in each figure. */
function point() {
  for (const {number, mark, text} of views) {
    mark.hidden = !place;
    text.textContent = "";
    if (!place) continue;
    mark.style.left = `${(100 * (place.x + 0.5)) / shown.width}%`;
    mark.style.top = `${(100 * (place.y + 0.5)) / shown.height}%`;
    const at = place.y * shown.width + place.x, result = number === null ? null : shown.results[number];
    if (number === null) text.textContent = `row ${place.y}, column ${place.x}`;
    else if (result) text.textContent = `${classes[result.classes[at]]} ${percent(result.probabilities[at])}`;
  }
}

function follow(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const inside = (at, size) => Math.min(size - 1, Math.max(0, Math.floor(at * size)));
  place = {
    x: inside((event.clientX - box.left) / box.width, shown.width),
    y: inside((event.clientY - box.top) / box.height, shown.height),
  };
  point();
}

function press(event) {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const far = event.shiftKey ? 10 : 1, from = place ?? {x: shown.width >> 1, y: shown.height >> 1};
  const within = (at, size) => Math.min(size - 1, Math.max(0, at));
  place = {x: within(from.x + far * step[0], shown.width), y: within(from.y + far * step[1], shown.height)};
  point();
}

function save(view) {
  view.canvas.toBlob((blob) => {
    const link = document.createElement("a"), {name} = networks[view.number];
    link.href = URL.createObjectURL(blob);
    link.download = `${shown.name.replace(/\.[^.]*$/, "")}_${name.replace("-", "").toLowerCase()}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }, "image/png");
}

function addView(title, number) {
  const figure = make("figure", byId("figures")), frame = make("div", figure);
  const canvas = make("canvas", frame), mark = make("i", frame), caption = make("figcaption", figure);
  make("b", caption, title);
  const text = make("span", caption), view = {title, number, canvas, mark, text};
  text.setAttribute("aria-live", "polite");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.onpointermove = canvas.onpointerdown = follow;
  canvas.onkeydown = press;
  mark.hidden = true;
  if (number !== null) {
    view.save = make("button", caption, "Save PNG");
    view.save.type = "button";
    view.save.setAttribute("aria-label", `Save ${title} as PNG`);
    view.save.onclick = () => save(view);
  }
  views.push(view);
}

// The start.

const many = networks.length > 1 ? "The networks" : "The network";
byId("about").textContent =
  `${many} ${networks.map(({name}) => name).join(", ")} of a jaxdl run: ${classes.length} classes. ` +
  "All is computed in this page. No photo leaves it, and it opens no address.";
addView("Photo", null);
networks.forEach(({name}, number) => addView(name, number));
byId("choose").onclick = () => byId("files").click();
byId("files").onchange = (event) => add([...event.target.files]).then(() => { event.target.value = ""; });
byId("side").onchange = () => shown && select(shown);
byId("opacity").oninput = (event) => {
  byId("percent").textContent = `${event.target.value} %`;
  views.forEach(paint);
};
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  add([...event.dataTransfer.files]);
});

(async () => {
  for (const {name, jpeg} of data.photos) {
    const item = {name, blob: new Blob([bytesOf(jpeg)], {type: "image/jpeg"})};
    try {
      await decode(item);
      addButton(item);
    } catch {
      complain(`${name}: the test image cannot be read`);
    }
  }
  byId("progress").hidden = true;
  if (items.length && !shown) await select(items[0]);
})();
