// What is seen: each network's classes over the photo, what is under the pointer; then the start.

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
