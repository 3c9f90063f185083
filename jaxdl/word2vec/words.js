// Words in, their neighbours out. The vectors are directions in whole numbers of 8 bits.

const {words, width, all, map} = JSON.parse(byId("data").textContent);
const vectors = new Int8Array(bytesOf(byId("vectors").textContent).buffer);
const rows = new Map(words.map((word, row) => [word, row]));
const NEAREST = 12, SUGGESTED = 12;

const lengths = Float64Array.from(words, (_, row) => {
  let sum = 0;
  for (let n = row * width; n < (row + 1) * width; n++) sum += vectors[n] * vectors[n];
  return Math.sqrt(sum) || 1; // a vector of zeros stays one
});

/** A word as it is shown: what has no shape or turns the text around is made visible. */
const shown = (word) => {
  const text = word.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, (one) => (/[\u200c\u200d]/.test(one) ? one : "\ufffd"));
  return text.length > 60 ? `${text.slice(0, 59)}\u2026` : text;
};

/** The sum of unit vectors with their weights, at length 1. */
function sumOf(terms) {
  const sum = new Float64Array(width);
  for (const {row, weight} of terms) {
    for (let n = 0; n < width; n++) sum[n] += (weight * vectors[row * width + n]) / lengths[row];
  }
  const length = Math.hypot(...sum) || 1;
  return sum.map((value) => value / length);
}

function cosine(query, row) {
  let sum = 0;
  for (let n = 0; n < width; n++) sum += query[n] * vectors[row * width + n];
  return sum / lengths[row];
}

/** [row, cosine] of the nearest words, best first, without those that were given. */
function nearest(terms, count = NEAREST) {
  const query = sumOf(terms), given = new Set(terms.map(({row}) => row)), best = [];
  for (let row = 0; row < words.length; row++) {
    if (given.has(row)) continue;
    const score = cosine(query, row);
    if (best.length === count && score <= best[count - 1][1]) continue;
    let at = best.length;
    while (at > 0 && best[at - 1][1] < score) at--;
    best.splice(at, 0, [row, score]);
    if (best.length > count) best.pop();
  }
  return best;
}

/** [row, cosine with the mean of all] of each word, the odd one first. */
function oddOne(terms) {
  const mean = sumOf(terms.map(({row}) => ({row, weight: 1})));
  return terms.map(({row}) => [row, cosine(mean, row)]).sort((a, b) => a[1] - b[1]);
}

/** The row of a word as it was typed, or in small letters; undefined if there is none. */
const rowOf = (word) => rows.get(word) ?? rows.get(word.toLowerCase());

/** What a text asks: {kind, terms}, or {problem}, with the unknown word if there is one. */
function read(text) {
  const parts = text.trim().split(/\s+/).filter(Boolean), terms = [];
  if (!parts.length) return {problem: ""};
  const signed = parts.length > 1 && parts.some((part) => part === "+" || part === "-");
  let weight = 1, wanted = true; // whether a word comes next
  for (const part of parts) {
    if (signed && (part === "+" || part === "-")) {
      if (wanted) return {problem: "Write words and signs in turn, as in a - b + c."};
      weight = part === "-" ? -1 : 1;
      wanted = true;
      continue;
    }
    if (signed && !wanted) return {problem: "Write words and signs in turn, as in a - b + c."};
    const row = rowOf(part);
    if (row === undefined) return {problem: `${shown(part)} is not among the words of this page.`, unknown: part};
    terms.push({row, weight});
    wanted = !signed;
  }
  if (signed && wanted) return {problem: "A word is missing after the last sign.", unknown: ""};
  if (!signed && terms.length === 2) return {kind: "sum", terms, title: "nearest of both"};
  return {kind: signed || terms.length === 1 ? "sum" : "odd", terms};
}

function chip(parent, text, action) {
  const button = make("button", parent);
  button.type = "button";
  make("bdi", button, shown(text));
  button.onclick = action;
}

function ask(text) {
  byId("query").value = text;
  look();
  byId("query").focus();
}

function suggest(start) {
  byId("suggestions").replaceChildren();
  if (!start) return;
  const low = start.toLowerCase(), found = words.filter((word) => word.toLowerCase().startsWith(low)).slice(0, SUGGESTED);
  const before = byId("query").value.trimEnd().slice(0, -start.length);
  for (const word of found) chip(byId("suggestions"), word, () => ask(before + word));
}

function look() {
  const text = byId("query").value, {kind, terms, problem, unknown} = read(text);
  const last = text.trimEnd().endsWith(unknown ?? "\0") ? unknown : "";
  suggest(last);
  byId("status").textContent = problem ?? "";
  byId("result").hidden = !kind;
  if (!kind) {
    mark([], []);
    return;
  }
  const found = kind === "odd" ? oddOne(terms) : nearest(terms), body = byId("found").tBodies[0];
  const named = terms.map(({row, weight}, n) => `${weight < 0 ? "- " : n && kind === "sum" ? "+ " : ""}${shown(words[row])}`).join(" ");
  byId("title").textContent = kind === "odd" ? `The odd one of ${named}` : named;
  body.replaceChildren();
  found.forEach(([row, score], n) => {
    const line = make("tr", body), heading = make("th", line);
    heading.scope = "row";
    line.className = kind === "odd" && n === 0 ? "odd" : "";
    chip(heading, words[row], () => ask(words[row]));
    make("td", line, score.toFixed(3));
    const meter = make("meter", make("td", line));
    [meter.min, meter.max, meter.value] = [0, 1, Math.max(0, score)];
    meter.setAttribute("aria-hidden", "true");
  });
  mark(terms.map(({row}) => row), kind === "odd" ? [] : found.map(([row]) => row));
}

byId("query").oninput = look;
byId("ask").onsubmit = (event) => {
  event.preventDefault();
  if (byId("result").hidden) byId("suggestions").firstChild?.click();
  else look();
};
