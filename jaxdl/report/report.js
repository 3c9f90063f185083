// Adds to a page that is whole without it: values at the pointer, pictures that enlarge, signs of
// what scrolls.

const SVG = "http:\u002f/www.w3.org/2000/svg"; // no address is opened: a namespace

// Values at the pointer, or at a line that the arrow keys move.

function follow(svg) {
  const panels = JSON.parse(svg.dataset.curves), {width, height} = svg.viewBox.baseVal;
  if (!panels.length) return;
  const frame = svg.parentElement, tip = make("div", frame), rule = document.createElementNS(SVG, "line");
  let panel = panels[0], at = -1;
  for (const one of panels) {
    const numbers = one.lines.flatMap((line) => line.x.filter((x, n) => x !== null && line.y[n] !== null));
    one.places = [...new Set(numbers)].sort((a, b) => a - b);
  }
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  rule.setAttribute("class", "rule");
  svg.tabIndex = 0;

  const across = ({box, x: [low, high, log]}, value) => {
    const share = log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return box[0] + share * (box[2] - box[0]);
  };

  function hide() {
    tip.hidden = true;
    rule.remove();
  }

  function show() {
    const value = panel.places[at], x = across(panel, value);
    for (const [name, number] of Object.entries({x1: x, x2: x, y1: panel.box[1], y2: panel.box[3]})) rule.setAttribute(name, number);
    svg.append(rule);
    tip.replaceChildren();
    make("b", tip, `${panel.name} ${value}`);
    const told = panel.lines.filter((line) => line.y[line.x.indexOf(value)] != null);
    for (const line of told.slice(0, 12)) {
      const row = make("span", tip), swatch = make("i", row);
      swatch.style.background = `var(--${line.colour})`;
      row.append(`${line.name}: ${line.y[line.x.indexOf(value)]}`);
    }
    tip.hidden = false;
    const right = x > width / 2;
    tip.style.left = right ? "auto" : `calc(${(100 * x) / width}% + 10px)`;
    tip.style.right = right ? `calc(${100 - (100 * x) / width}% + 10px)` : "auto";
    tip.style.top = `${(100 * panel.box[1]) / height}%`;
  }

  svg.onpointermove = svg.onpointerdown = (event) => {
    const area = svg.getBoundingClientRect(), slack = 8;
    const x = ((event.clientX - area.left) / area.width) * width, y = ((event.clientY - area.top) / area.height) * height;
    const found = panels.find(({box}) => x > box[0] - slack && x < box[2] + slack && y > box[1] && y < box[3]);
    if (!found?.places.length) return hide();
    panel = found;
    const gaps = panel.places.map((value) => Math.abs(across(panel, value) - x));
    at = gaps.indexOf(Math.min(...gaps));
    show();
  };
  svg.onpointerleave = svg.onblur = hide;
  svg.onkeydown = (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], turn = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (event.key === "Escape") return hide();
    if ((!step && !turn) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (turn) {
      panel = panels[(panels.indexOf(panel) + turn + panels.length) % panels.length];
      at = -1;
    }
    if (!panel.places.length) return;
    at = Math.min(panel.places.length - 1, Math.max(0, at + (step ?? 1)));
    show();
  };
}

document.querySelectorAll("svg[data-curves]").forEach(follow);

// Pictures: how strong the layers are, and large ones in a dialog.

const sliders = [];

function addSlider(slider) {
  sliders.push(slider);
  slider.oninput = () => {
    document.documentElement.style.setProperty("--opacity", slider.value / 100);
    for (const other of sliders) other.value = slider.value;
  };
}

const dialog = make("dialog", document.body), bar = make("p", dialog), strip = make("div", dialog);
dialog.setAttribute("aria-label", "Enlarged pictures");
strip.className = "strip";
strip.tabIndex = 0;
const errors = make("input", make("label", bar)), opacity = make("input", make("label", bar));
errors.type = "checkbox";
errors.after(" error map");
errors.onchange = () => dialog.classList.toggle("wrong", errors.checked);
opacity.type = "range";
opacity.value = 60;
opacity.before("opacity ");
addSlider(opacity);
const close = make("button", bar, "Close");
close.type = "button";
close.onclick = () => dialog.close();
dialog.onclick = (event) => event.target === dialog && dialog.close();
dialog.onkeydown = (event) => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step || event.target.type === "range") return;
  event.preventDefault();
  strip.scrollBy({left: step * strip.firstChild.offsetWidth});
};

function enlarge(row, figure, wrong) {
  const figures = [...row.querySelectorAll("figure")];
  strip.replaceChildren();
  for (const one of figures) {
    const copy = make("figure", strip), svg = one.querySelector("svg")?.cloneNode(true);
    copy.className = row.classList.contains("tiny") ? "tile tiny" : "tile";
    svg?.querySelector("[id]")?.removeAttribute("id"); // the original keeps it
    copy.append(...(svg ? [svg] : []), one.querySelector("figcaption").cloneNode(true));
  }
  errors.checked = wrong;
  dialog.classList.toggle("wrong", wrong);
  dialog.showModal();
  strip.children[figures.indexOf(figure)].scrollIntoView({inline: "center", block: "nearest"});
  strip.focus();
}

for (const gallery of document.querySelectorAll(".gallery")) {
  for (const hidden of gallery.querySelectorAll(".scripted")) hidden.hidden = false;
  addSlider(gallery.querySelector(".opacity"));
  for (const svg of gallery.querySelectorAll(".tile svg")) {
    const figure = svg.closest("figure"), button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge: ${svg.getAttribute("aria-label")}`);
    svg.replaceWith(button);
    button.append(svg);
    button.onclick = () => enlarge(figure.parentElement, figure, gallery.querySelector(".show-errors").checked);
  }
}

// What is wider than its place says so, and the keyboard reaches it.

const watch = new ResizeObserver((entries) => {
  for (const {target} of entries) {
    const wide = target.scrollWidth > target.clientWidth + 1;
    target.previousElementSibling.hidden = !wide;
    if (wide) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".scroll")) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.hidden = true;
  hint.textContent = "\u2194 wider than the screen: swipe or scroll sideways";
  box.before(hint);
  watch.observe(box);
}
