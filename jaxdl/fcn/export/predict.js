// Photos in, and the work of each network, which network.js does in workers.

const data = JSON.parse(byId("data").textContent);
const {networks, classes} = data;
const colours = data.colours.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
const scriptURL = URL.createObjectURL(new Blob([byId("network").textContent], {type: "text/javascript"}));
const items = []; // photos: {name, blob, note, button, width, height, pixels, results}
const views = []; // a photo alone, then one for each network: {network, canvas, mark, text, save}
let shown = null, place = null;

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
