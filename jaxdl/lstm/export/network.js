// What `jaxdl lstm predict` computes (jaxdl/lstm/export/program.py), in doubles. Rows are arrays
// of a number for each column.

/** The networks, from the numbers in the order of page.py; [] of a naive forecast. */
function networksOf(program, numbers) {
  if (!program.networks) return [];
  const {count, cell, gates, layers, units} = program.networks, columns = program.columns.length;
  let at = 0;
  const take = (size) => numbers.subarray(at, (at += size));
  return Array.from({length: count}, () => {
    const own = {cell, units, columns, layers: []};
    for (let n = 0; n < layers; n++) {
      const inputs = n ? units : columns, rows = gates * units;
      const layer = {inputs, input: take(rows * inputs), recurrent: take(rows * units), bias: take(rows)};
      if (cell === "gru") layer.again = take(rows);
      own.layers.push(layer);
    }
    own.read = take(units * columns);
    own.readBias = take(columns);
    return own;
  });
}

/** kernel @ x + bias, (rows); the kernel (rows, x.length). */
function affine(kernel, x, bias) {
  const found = new Float64Array(kernel.length / x.length);
  for (let row = 0; row < found.length; row++) {
    let sum = bias ? bias[row] : 0;
    for (let n = 0; n < x.length; n++) sum += kernel[row * x.length + n] * x[n];
    found[row] = sum;
  }
  return found;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** One step of one layer; the state {h, c} is changed. */
function lstmCell(layer, state, x, units) {
  const into = affine(layer.input, x, layer.bias), again = affine(layer.recurrent, state.h);
  const h = new Float64Array(units), c = new Float64Array(units);
  for (let n = 0; n < units; n++) {
    const [g, i, f, o] = [0, 1, 2, 3].map((gate) => into[gate * units + n] + again[gate * units + n]);
    c[n] = sigmoid(f) * state.c[n] + sigmoid(i) * Math.tanh(g);
    h[n] = sigmoid(o) * Math.tanh(c[n]);
  }
  Object.assign(state, {h, c});
}

function gruCell(layer, state, x, units) {
  const into = affine(layer.input, x, layer.bias), again = affine(layer.recurrent, state.h, layer.again);
  const h = new Float64Array(units);
  for (let n = 0; n < units; n++) {
    const r = sigmoid(into[n] + again[n]), z = sigmoid(into[units + n] + again[units + n]);
    const next = Math.tanh(into[2 * units + n] + r * again[2 * units + n]);
    h[n] = (1 - z) * next + z * state.h[n];
  }
  state.h = h;
}

/** What a network says after the window's rows: `steps` rows, each the input of the next. */
function continueWindow(network, window, steps) {
  const cell = network.cell === "gru" ? gruCell : lstmCell, {units, columns} = network;
  const states = network.layers.map(() => ({h: new Float64Array(units), c: new Float64Array(units)}));
  const read = (row) => {
    let x = row;
    network.layers.forEach((layer, n) => {
      cell(layer, states[n], x, units);
      x = states[n].h;
    });
    const found = Array.from(network.readBias);
    for (let n = 0; n < units; n++) for (let c = 0; c < columns; c++) found[c] += x[n] * network.read[n * columns + c];
    return found;
  };
  let value = null;
  for (const row of window) value = read(row);
  const found = [];
  while (found.length < steps) {
    found.push(value);
    if (found.length < steps) value = read(value);
  }
  return found;
}

const mapRows = (rows, change) => rows.map((row) => row.map(change));

/** The mean of the rows 1, 2, ... seasons lags before row `at`. */
function usual(levels, at, {lag, seasons}) {
  return levels[at].map((_, c) => {
    let sum = 0;
    for (let k = 1; k <= seasons; k++) sum += levels[at - k * lag][c];
    return sum / seasons;
  });
}

/** Standardised changes of the last `window` rows. */
function changesOf(program, levels) {
  const {transform, scaling, window} = program, found = [];
  for (let at = levels.length - window; at < levels.length; at++) {
    const before = transform.lag ? usual(levels, at, transform) : null;
    found.push(levels[at].map((value, c) => (value - (before ? before[c] : 0) - scaling.mean[c]) / scaling.deviation[c]));
  }
  return found;
}

const levelsOf = (program, values) => (program.transform.log ? mapRows(values, Math.log) : values);

/** How many times as much the last rows vary as those that were learnt from. */
function unlike(program, values) {
  const changes = changesOf(program, levelsOf(program, values));
  const sizes = program.columns.map((_, c) => Math.sqrt(changes.reduce((sum, row) => sum + row[c] ** 2, 0) / changes.length));
  return Math.max(...sizes);
}

/** Of each window: what was taken off, and what it was divided by. */
function windowScale(program, window) {
  const mean = (change) => program.columns.map((_, c) => window.reduce((sum, row) => sum + change(row[c], c), 0) / window.length);
  const level = program.transform.lag ? program.columns.map(() => 0) : mean((value) => value);
  const scale = mean((value, c) => (value - level[c]) ** 2).map((spread) => Math.sqrt(spread + program.floor ** 2));
  return {level, scale};
}

/** One network's levels. */
function levelsAfter(program, network, levels, window, {level, scale}, steps) {
  const {transform, scaling} = program;
  const scaled = window.map((row) => row.map((value, c) => (value - level[c]) / scale[c]));
  const all = levels.slice(levels.length - transform.reach);
  for (const row of continueWindow(network, scaled, steps)) {
    all.push(row.map((value, c) => (value * scale[c] + level[c]) * scaling.deviation[c] + scaling.mean[c]));
    if (!transform.lag) continue;
    const before = usual(all, all.length - 1, transform), last = all[all.length - 1];
    before.forEach((value, c) => { last[c] += value; });
  }
  return all.slice(transform.reach);
}

function median(numbers) {
  const sorted = Float64Array.from(numbers).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The steps that follow `values`, at least `program.given` rows: {median, low, high}, each rows;
 * low and high are null without a band.
 */
function forecast(program, networks, values, steps) {
  const levels = levelsOf(program, values), {bands} = program;
  let middle = [];
  if (!networks.length) {
    const known = levels.slice(levels.length - program.period);
    for (let step = 0; step < steps; step++) middle.push([...known[step % program.period]]);
  } else {
    const window = mapRows(changesOf(program, levels), Math.fround);
    const none = {level: program.columns.map(() => 0), scale: program.columns.map(() => 1)};
    const scale = program.floor === null ? none : windowScale(program, window);
    const each = networks.map((network) => levelsAfter(program, network, levels, window, scale, steps));
    for (let step = 0; step < steps; step++) {
      middle.push(program.columns.map((_, c) => median(each.map((own) => own[step][c]))));
    }
  }
  const back = (level) => (program.transform.log ? Math.exp(Math.min(level, 700)) : level);
  const moved = (side) => middle.map((row, step) => row.map((level, c) => back(level + side * (bands ? bands.half[c] * (step + 1) ** bands.growth[c] : 0))));
  return {median: moved(0), low: bands && moved(-1), high: bands && moved(1)};
}
