// The step of a time axis and the times that follow, as jaxdl/lstm/data/calendar.py finds them.
// Times are {unit, values}: unit "n" counts, "Y" and "M" are months since 1970, "D", "s" and "us"
// are microseconds since then; the unit is how they are written.

const DAY = 864e8, HOUR = 36e8;

/** Days since 1970, or null if there is no such day. */
function dayOf(year, month, day) {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date.getUTCMonth() === month && date.getUTCDate() === day ? date.getTime() / 864e5 : null;
}

function civil(day) {
  const date = new Date(day * 864e5);
  return {month: 12 * (date.getUTCFullYear() - 1970) + date.getUTCMonth(), day: date.getUTCDate()};
}

const monthStart = (month) => dayOf(1970 + Math.floor(month / 12), ((month % 12) + 12) % 12, 1);
const monthEnd = (month) => monthStart(month + 1) - 1;
const weekday = (day) => (((day + 3) % 7) + 7) % 7; // 0 is Monday

function lastWeekday(month) {
  const end = monthEnd(month);
  return end - Math.max(0, weekday(end) - 4);
}

const dayOfTime = (time) => Math.floor(time / DAY);
/** The number of a weekday among weekdays, and back. */
const workday = (day) => 5 * Math.floor((day + 3) / 7) + weekday(day);
const fromWorkday = (count) => 7 * Math.floor(count / 5) + (((count % 5) + 5) % 5) - 3;

const ISO = /^(\d{4})(?:([-/])(\d{1,2})(?:\2(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?Z?)?)?)?$/;

/** {unit, value} of one cell, or null. */
function readTime(text) {
  let found = /^(\d{4})[- ]?Q([1-4])$/i.exec(text);
  if (found) return {unit: "M", value: 12 * (found[1] - 1970) + 3 * (found[2] - 1)};
  found = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(text);
  if (found) found = [text, found[3], "-", found[2], found[1]];
  found ??= ISO.exec(text);
  if (!found) return null;
  const [, year, , month, day, hour, minute, second = 0, part = ""] = found;
  if (month > 12 || month < 1) return null;
  if (!month) return {unit: "Y", value: 12 * (year - 1970)};
  if (!day) return {unit: "M", value: 12 * (year - 1970) + (month - 1)};
  const date = dayOf(Number(year), month - 1, Number(day));
  if (date === null || hour > 23 || minute > 59 || second > 59) return null;
  const clock = hour === undefined ? 0 : HOUR * hour + 6e7 * minute + 1e6 * second + Number(part.padEnd(6, "0"));
  return {unit: clock % 1e6 ? "us" : clock ? "s" : "D", value: DAY * date + clock};
}

/** The times of a column's cells, in one unit, or null if one is not a time. */
function readTimes(cells) {
  const found = cells.map(readTime), units = ["Y", "M", "D", "s", "us"];
  if (found.includes(null) || !found.length) return null;
  const ranks = found.map(({unit}) => units.indexOf(unit)), coarse = Math.min(...new Set(ranks));
  const fine = Math.max(...new Set(ranks));
  if (coarse < 2 && fine !== coarse) return null; // months among days
  return {unit: units[fine], values: found.map(({value}) => value)};
}

function showTime(value, unit) {
  if (unit === "n") return String(value);
  const months = unit === "Y" || unit === "M", date = new Date(864e5 * (months ? monthStart(value) : dayOfTime(value)));
  const text = date.toISOString().slice(0, {Y: 4, M: 7}[unit] ?? 10);
  if (months || unit === "D") return text;
  const two = (number) => String(Math.floor(number)).padStart(2, "0"), rest = value - DAY * dayOfTime(value);
  const clock = `${two(rest / HOUR)}:${two((rest % HOUR) / 6e7)}:${two((rest % 6e7) / 1e6)}`;
  return `${text} ${clock}${unit === "us" ? `.${String(rest % 1e6).padStart(6, "0")}` : ""}`;
}

/** {step: {unit, count}, places} of numbers that are a step apart, perhaps with gaps; or null. */
function counted(unit, numbers) {
  const moves = numbers.slice(1).map((value, n) => value - numbers[n]), counts = new Map();
  for (const move of moves) counts.set(move, (counts.get(move) ?? 0) + 1);
  const most = Math.max(...counts.values());
  let count = Math.min(...[...counts.keys()].filter((move) => counts.get(move) === most));
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  if (moves.some((move) => move % count)) count = moves.reduce(divisor, 0);
  const places = numbers.map((value) => (value - numbers[0]) / count);
  return places[places.length - 1] + 1 <= 3 * numbers.length ? {step: {unit, count}, places} : null;
}

/** The step of sorted times without duplicates, at least 2; null if they are irregular. */
function findStep({unit, values}) {
  if (unit === "n") return counted("number", values);
  if (unit === "Y" || unit === "M") return counted("month", values);
  const days = values.map(dayOfTime), clock = values[0] - DAY * days[0];
  if (values.every((value, n) => value - DAY * days[n] === clock)) {
    const dates = days.map(civil), months = dates.map(({month}) => month);
    if (months.every((month, n) => !n || month > months[n - 1])) {
      if (days.every((day, n) => day === monthEnd(months[n]))) return counted("month end", months);
      if (dates.every(({day}) => day === dates[0].day)) return counted("month", months);
      if (days.every((day, n) => day === lastWeekday(months[n]))) return counted("last weekday", months);
    }
    const moves = days.slice(1).map((day, n) => day - days[n]);
    if (days.length > 5 && days.every((day) => weekday(day) < 5) && moves.some((move) => move >= 3)) {
      if (2 * moves.filter((move) => move === 1).length > moves.length) {
        return counted("business day", days.map(workday));
      }
    }
  }
  return counted("time", values);
}

/** The `count` times after the last. */
function nextTimes({unit, values}, step, count) {
  const last = values[values.length - 1], day = dayOfTime(last), clock = last - DAY * day;
  const at = (date) => DAY * date + clock;
  return Array.from({length: count}, (_, n) => {
    const moved = (n + 1) * step.count;
    if (step.unit === "number" || step.unit === "time" || unit === "Y" || unit === "M") return last + moved;
    if (step.unit === "business day") return at(fromWorkday(workday(day) + moved));
    const month = civil(day).month + moved;
    if (step.unit === "month end") return at(monthEnd(month));
    if (step.unit === "last weekday") return at(lastWeekday(month));
    return at(Math.min(monthStart(month) + civil(day).day - 1, monthEnd(month)));
  });
}

/** A step in words. */
function showStep({unit, count}) {
  const several = (number, name) => (number === 1 ? `1 ${name}` : `${number} ${name}s`);
  const fit = (sizes) => sizes.find(([size]) => count % size === 0);
  if (unit === "time") {
    const [size, name] = fit([[7 * DAY, "week"], [DAY, "day"], [HOUR, "hour"], [6e7, "minute"], [1e6, "second"], [1, "microsecond"]]);
    return several(count / size, name);
  }
  if (unit === "number" || unit === "business day") return several(count, unit);
  const [size, name] = fit([[12, "year"], [3, "quarter"], [1, "month"]]);
  return several(count / size, name) + ({"month end": ", its last day", "last weekday": ", its last weekday"}[unit] ?? "");
}
