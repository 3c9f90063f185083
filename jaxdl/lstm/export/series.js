// A series from text: CSV with a time and values, or columns of numbers. What is in doubt is refused.

const MISSING = new Set(["", "na", "n/a", "nan", "null", "none", "-", "?", "."]);

/** One line's cells; a separator within double quotes is text. */
function splitLine(line, separator) {
  if (separator === " ") return line.trim().split(/\s+/);
  const cells = [];
  let at = 0;
  while (at <= line.length) {
    let cell = "";
    while (line[at] === " ") at++;
    if (line[at] === '"') {
      for (at++; at < line.length; at++) {
        if (line[at] !== '"') cell += line[at];
        else if (line[at + 1] === '"') cell += line[++at];
        else break;
      }
      at++;
    }
    let end = line.indexOf(separator, at);
    if (end < 0) end = line.length;
    cells.push((cell + line.slice(at, end)).trim());
    at = end + 1;
  }
  return cells;
}

/** Lines of cells, as many in each; with each line's number in the text. */
function cellsOf(text, decimal) {
  const lines = [];
  text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/).forEach((line, n) => {
    if (line.trim() && !line.trimStart().startsWith("#")) lines.push({line, number: n + 1});
  });
  const doubtful = lines.length && lines.every(({line}) => /^\s*[+-]?\d+,\d+\s*$/.test(line));
  if (doubtful && decimal === "auto") {
    throw new Error(`“${lines[0].line.trim()}” may be one number or two; choose under “Numbers”, or give the columns a first line of names`);
  }
  const several = (separator) => {
    if (separator === "," && doubtful && decimal === "comma") return false;
    const counts = lines.slice(0, 50).map(({line}) => splitLine(line, separator).length);
    return counts[0] > 1 && counts.every((count) => count === counts[0]);
  };
  const separator = ["\t", ";", "|", ",", " "].find(several) ?? "\n";
  const rows = lines.map(({line, number}) => ({cells: splitLine(line, separator), number}));
  const count = rows.length ? rows[0].cells.length : 0;
  const odd = rows.find(({cells}) => cells.length !== count);
  if (odd) throw new Error(`line ${odd.number} has ${odd.cells.length} cells, the first has ${count}`);
  return rows;
}

const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A number, NaN of a missing value, or null of other text. */
function readNumber(text, comma) {
  if (MISSING.has(text.toLowerCase())) return NaN;
  const point = comma ? "," : ".", group = comma ? "\\." : ",";
  let plain = text;
  if (new RegExp(`^[+-]?\\d{1,3}(${group}\\d{3})+(\\${point}\\d*)?$`).test(text)) plain = text.replaceAll(comma ? "." : ",", "");
  if (comma) plain = plain.replace(",", ".");
  return PLAIN.test(plain) && !(comma && plain === text && text.includes(".")) ? Number(plain) : null;
}

/** Whether a comma is the decimal sign, in all cells; `decimal` is auto, point or comma. */
function commaIs(rows, decimal) {
  if (decimal !== "auto") return decimal === "comma";
  const cells = rows.flatMap((row) => row.cells).filter((cell) => /^[+-]?[\d.,]*\d,\d+$|^[+-]?,\d+$/.test(cell));
  if (cells.some((cell) => /,(\d{1,2}|\d{4,})$/.test(cell) || /\..*,/.test(cell))) return true;
  const doubt = cells.find((cell) => !/,.*,/.test(cell)), points = rows.some((row) => row.cells.some((cell) => /\d\.\d/.test(cell) && PLAIN.test(cell)));
  if (doubt && !points) throw new Error(`${doubt}: is the comma decimal, or does it group thousands? Choose under “Numbers”`);
  return false;
}

/** Which columns hold the values, and which the times (-1: none). */
function chooseColumns(names, numbers, rows, columns) {
  const given = columns.map((name) => names.indexOf(name));
  const isTime = (n) => !given.includes(n) && readTimes(rows.map(({cells}) => cells[n])) !== null;
  const all = rows[0].cells.map((_, n) => n);
  let time = all.find(isTime) ?? -1;
  if (all.length <= columns.length) time = -1;
  if (!given.includes(-1)) return {chosen: given, time};
  const counts = (n) => all.length > columns.length && numbers[n] && rows.every((row, k) => !k || numbers[n][k] === numbers[n][k - 1] + 1);
  const chosen = all.filter((n) => n !== time && numbers[n] && !counts(n));
  if (chosen.length !== columns.length) {
    const found = chosen.length ? chosen.map((n) => names[n] || `column ${n + 1}`).join(", ") : "none";
    throw new Error(`the networks learnt ${columns.join(", ")}; columns of numbers here: ${found}. Name the columns in the first line`);
  }
  return {chosen, time};
}

/**
 * {names, values, times, step, told}: times is null if there are none. `heading` is a first line
 * that is known to be names, though they may look like numbers. Throws an Error whose message
 * says what is wrong.
 */
function readSeries(text, columns, decimal, heading) {
  let rows = cellsOf(text, decimal);
  if (!rows.length) throw new Error("no rows; give a time and a value in each line, or a value");
  const comma = commaIs(rows, decimal);
  const read = (from) => rows[0].cells.map((_, n) => {
    const found = rows.slice(from).map(({cells}) => readNumber(cells[n], comma));
    return found.includes(null) || found.every(Number.isNaN) ? null : found;
  });
  // The first line is names if it holds text above numbers, or a column's name, or is `heading`.
  let numbers = read(1), names = [];
  const first = rows[0].cells;
  const textAbove = (cell, n) => readNumber(cell, comma) === null && (numbers[n] || columns.includes(cell));
  const header = first.some(textAbove) || text.split("\n", 1)[0] === heading;
  if (header) {
    names = first;
    rows = rows.slice(1);
    if (!rows.length) throw new Error("a line of names, and no rows below it");
  } else numbers = read(0);
  const {chosen, time} = chooseColumns(names, numbers, rows, columns), told = [];
  const values = rows.map((_, k) => chosen.map((n) => numbers[n]?.[k] ?? null));
  rows.forEach(({cells, number}, k) => values[k].forEach((value, c) => {
    if (value === null) {
      const cell = cells[chosen[c]], own = readNumber(cell, comma);
      if (own === null) throw new Error(`line ${number}: “${cell.slice(0, 40)}” is no number`);
      values[k][c] = own;
    }
    if (Math.abs(values[k][c]) >= 1e100) throw new Error(`line ${number}: ${cells[chosen[c]]} is too large`);
  }));
  const own = {names: chosen.map((n, c) => names[n] || columns[c]), values, times: null, step: null, told};
  const lines = rows.map(({number}) => number);
  if (time >= 0) order(own, readTimes(rows.map(({cells}) => cells[time])), lines);
  else if (rows[0].cells.length > chosen.length && numbers.some((column, n) => !column && !chosen.includes(n))) {
    told.push("no column is read as times here (write 2024-01-31): the rows are taken as they stand, the oldest first");
  }
  trim(own, lines);
  if (own.times) addStep(own, lines);
  return own;
}

/** Rows in the order of their times. */
function order(own, times, lines) {
  const places = lines.map((_, n) => n), later = (a, b) => times.values[a] - times.values[b];
  if (places.every((n) => !n || later(n - 1, n) > 0) && places.length > 1) own.told.push("newest first: turned round");
  else if (places.some((n) => n && later(n - 1, n) > 0)) own.told.push("sorted by time");
  places.sort(later);
  const double = places.findIndex((n, k) => k && later(places[k - 1], n) === 0);
  if (double > 0) throw new Error(`lines ${lines[places[double - 1]]} and ${lines[places[double]]} have the same time`);
  own.values = places.map((n) => own.values[n]);
  own.times = {unit: times.unit, values: places.map((n) => times.values[n])};
  lines.splice(0, lines.length, ...places.map((n) => lines[n]));
}

/** Without missing rows at the ends; others are refused. */
function trim(own, lines) {
  const there = own.values.map((row) => !row.some(Number.isNaN));
  const start = there.indexOf(true), end = there.lastIndexOf(true) + 1;
  if (start < 0) throw new Error("no row has all values");
  const hole = there.slice(start, end).indexOf(false);
  if (hole >= 0) throw new Error(`line ${lines[start + hole]}: a value is missing; fill it first`);
  if (end - start < lines.length) own.told.push(`${lines.length - end + start} rows without values at the ends are left out`);
  own.values = own.values.slice(start, end);
  lines.splice(0, lines.length, ...lines.slice(start, end));
  if (own.times) own.times.values = own.times.values.slice(start, end);
}

function addStep(own, lines) {
  if (lines.length < 2) throw new Error("one row: no step can be found");
  const found = findStep(own.times);
  if (!found) throw new Error("the times are irregular: they are not a whole number of steps apart");
  const gap = found.places.findIndex((place, n) => place !== n);
  if (gap > 0) throw new Error(`rows are missing before line ${lines[gap]} (a step is ${showStep(found.step)}); fill them first`);
  own.step = found.step;
}
