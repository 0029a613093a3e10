// Hover values and zoom, tables that sort and filter, search over statements, and a button that copies SQL.
// Everything here is an addition: without the script, the page says the same. Text only enters as text, never as HTML.
"use strict";

const make = (name, attributes = {}, text = "") => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

// ---- Figures ----

const between = (one, two, share) => one + (two - one) * share;

/** The value of an axis at a place in the drawing. */
const valueAt = (axis, place) => {
  const share = (place - axis.at[0]) / (axis.at[1] - axis.at[0]);
  const [low, high] = axis.is;
  return axis.scale === "log" ? low * (high / low) ** share : between(low, high, share);
};

/** A number as precise as the drawing: a thousandth of the axis; on a log axis three digits. */
const written = (axis, value) => {
  if (axis.scale === "log") return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
  const digits = Math.ceil(-Math.log10(Math.abs(axis.is[1] - axis.is[0]) / 1000));
  const step = 10 ** digits;
  return (Math.round(value * step) / step || 0).toLocaleString("en", { maximumFractionDigits: Math.min(Math.max(digits, 0), 12) });
};

const moment = (axis, value) => {
  const options = { timeZone: axis.zone, weekday: "short", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const part = Object.fromEntries(new Intl.DateTimeFormat("en", options).formatToParts(value).map(({ type, value: text }) => [type, text]));
  return `${part.weekday} ${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute} ${axis.zone}`;
};

const readable = (axis, place) => {
  const value = valueAt(axis, place);
  if (axis.scale === "category") return "";
  return axis.scale === "time" ? moment(axis, value) : written(axis, value);
};

const unitOf = (name) => (/\[([^\]]+)\]/.exec(name) || ["", ""])[1];
const bare = (name) => name.replace(/\s*\[[^\]]+\]/, "");

/** The corners of a shape, as runs of consecutive points. */
const runsOf = (shape) => {
  const target = shape.localName === "use" ? document.getElementById(shape.getAttribute("href").slice(1)) : shape;
  const [dx, dy] = shape.localName === "use" ? [Number(shape.getAttribute("x")), Number(shape.getAttribute("y"))] : [0, 0];
  return (target?.getAttribute("d") || "").split("M").slice(1).map((run) => {
    const numbers = (run.match(/-?[\d.]+(?:e[-+]?\d+)?/g) || []).map(Number);
    return numbers.flatMap((x, n) => (n % 2 ? [] : [[x + dx, numbers[n + 1] + dy]]));
  });
};

/** Everything that one series draws. */
const seriesOf = (group) => {
  const shapes = [...group.querySelectorAll("path, use")].filter((one) => !one.closest("defs"));
  const { kind, name } = JSON.parse(group.dataset.note);
  if (kind === "spans") {
    const boxes = shapes.map((one) => one.getBBox());
    return { kind, name, spans: boxes.map((box) => [box.x, box.x + box.width]), xs: boxes.flatMap((box) => [box.x, box.x + box.width]) };
  }
  // The dots of a line stand on its points; a series of dots has nothing but them.
  const dots = kind === "points" ? shapes.filter((one) => one.localName === "use") : [];
  const runs = dots.length ? [dots.map((one) => [Number(one.getAttribute("x")), Number(one.getAttribute("y"))])] : shapes.filter((one) => one.localName === "path" || kind === "area" || kind === "band").flatMap(runsOf);
  return { kind, name, runs, xs: runs.flat().map(([x]) => x) };
};

/** The places of a series at x: of points there, the lowest and highest; between two points of a line, the one on it. */
const placesAt = (series, x) => {
  const here = series.runs.flat().filter(([at]) => Math.abs(at - x) < 0.6).map(([, y]) => y);
  if (here.length) return [Math.max(...here), Math.min(...here)];
  if (series.kind !== "line") return [];
  for (const run of series.runs) {
    for (let n = 1; n < run.length; n++) {
      const [[left, from], [right, to]] = [run[n - 1], run[n]];
      if (left <= x && x <= right) return [between(from, to, (x - left) / (right - left)), between(from, to, (x - left) / (right - left))];
    }
  }
  return [];
};

const lineOf = ({ x, y }, series, place) => {
  const unit = unitOf(y.name);
  const name = series.name || bare(y.name);
  if (series.kind === "spans") {
    const span = series.spans.find(([from, to]) => from <= place && place <= to);
    return span ? `${name}: ${readable(x, span[0])} to ${readable(x, span[1])}` : "";
  }
  const places = placesAt(series, place);
  if (!places.length) return "";
  const [low, high] = places.map((one) => valueAt(y, one)).sort((one, two) => one - two);
  const range = written(y, low) === written(y, high) ? written(y, high) : `${written(y, low)} to ${written(y, high)}`;
  return `${name}: ${series.kind === "area" ? written(y, high - low) : range}${unit ? ` ${unit}` : ""}`;
};

/** The panels of a figure: axes, and the series that are drawn over them. */
const panelsOf = (svg) => {
  const panels = [];
  for (const group of svg.querySelectorAll("[data-note]")) {
    const found = JSON.parse(group.dataset.note);
    if (found.kind === "axes") panels.push({ ...found, note: group, groups: [] });
    else panels.at(-1)?.groups.push(group);
  }
  return panels.filter((panel) => panel.groups.length);
};

const figure = (chart) => {
  const svg = chart.querySelector("svg");
  const panels = panelsOf(svg);
  const marks = [...svg.querySelectorAll("title")];
  if (!panels.length && !marks.length) return;
  const shown = make("div", { class: "reading", "aria-live": "polite" });
  chart.parentElement.append(shown);
  chart.tabIndex = 0;
  const cursor = document.createElementNS(svg.namespaceURI, "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  let current = null;

  const hide = () => { current = null; shown.textContent = ""; shown.hidden = true; cursor.removeAttribute("d"); };
  const show = (lines, left, top) => {
    shown.replaceChildren(...lines.map((line) => make("div", {}, line)));
    shown.hidden = false;
    const room = chart.parentElement.clientWidth - shown.offsetWidth;
    shown.style.left = `${Math.max(0, left > room ? left - shown.offsetWidth - 24 : left)}px`;
    shown.style.top = `${top}px`;
  };
  const scale = () => svg.clientWidth / svg.viewBox.baseVal.width;
  const place = (x, y) => [x * scale() - chart.scrollLeft + 12, y * scale() + 8];

  /** Panels above each other share their time axis, and are read together. */
  const read = (panel, wanted) => {
    const column = panels.filter((one) => String(one.x.at) === String(panel.x.at) && String(one.x.is) === String(panel.x.is));
    for (const one of column) one.series ??= one.groups.map(seriesOf);
    const inside = column.flatMap((one) => one.series.flatMap((series) => series.xs)).filter((x) => panel.x.at[0] - 0.1 <= x && x <= panel.x.at[1] + 0.1);
    const isOnLine = typeof wanted === "number" && column.some((one) => one.series.some((series) => series.runs && placesAt(series, wanted).length));
    if (!inside.length && !isOnLine) return hide();
    const at = typeof wanted === "function" ? wanted(inside) : !inside.length ? wanted : inside.reduce((best, x) => (Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best));
    const isInSpan = column.some((one) => one.series.some((series) => series.spans?.some(([from, to]) => from <= wanted && wanted <= to)));
    const x = isInSpan && column.every((one) => one.series.every((series) => series.spans)) ? wanted : at;
    const name = column.map((one) => one.x.name).find(Boolean) || "";
    const isNumber = panel.x.scale !== "time" && panel.x.scale !== "category";
    const head = isNumber ? `${bare(name)}: ${readable(panel.x, x)} ${unitOf(name)}` : readable(panel.x, x);
    const lines = column.flatMap((one) => {
      const values = one.series.map((series) => lineOf(one, series, x)).filter(Boolean);
      return one.title && values.length && column.length > 1 ? [`— ${one.title}`, ...values] : values;
    });
    current = { panel, x, inside };
    cursor.setAttribute("d", column.map((one) => `M${x} ${one.y.at[0]}V${one.y.at[1]}`).join(""));
    show([head, ...lines].filter(Boolean), ...place(x, panel.y.at[1]));
  };

  const mark = (n) => {
    const box = marks[n].parentElement.getBBox();
    cursor.removeAttribute("d");
    current = { mark: n };
    show([marks[n].dataset.text], ...place(box.x + box.width, box.y));
  };

  for (const title of marks) { // our text instead of the browser's, which would come late and twice
    title.dataset.text = title.textContent;
    title.textContent = "";
  }
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / scale(), (event.clientY - box.top) / scale()];
    const titled = event.target.closest(".mark");
    if (titled) return mark(marks.indexOf(titled.querySelector("title")));
    const panel = panels.find((one) => one.x.at[0] <= x && x <= one.x.at[1] && Math.min(...one.y.at) <= y && y <= Math.max(...one.y.at));
    return panel ? read(panel, x) : hide();
  };
  for (const name of ["pointermove", "pointerdown"]) chart.addEventListener(name, point);
  chart.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType === "mouse") hide(); }); // a finger leaves at once
  chart.addEventListener("blur", hide);
  const zoomed = zoomable(chart, svg, panels, {
    changed: () => { for (const one of panels) one.series = undefined; hide(); },
    place: () => current?.x,
  });
  chart.addEventListener("keydown", (event) => {
    if (zoomed?.(event)) return undefined;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") return hide();
    const row = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (panels.length > 1 && row) {
      event.preventDefault();
      const next = panels.indexOf(current?.panel ?? panels[0]) + row;
      return read(panels[Math.min(Math.max(next, 0), panels.length - 1)], current?.x ?? panels[0].x.at[0]);
    }
    if (step === undefined) return undefined;
    event.preventDefault();
    if (!panels.length) return mark(Math.min(Math.max((current?.mark ?? -1) + step, 0), marks.length - 1));
    const panel = current?.panel ?? panels[0];
    return read(panel, (inside) => {
      const sorted = [...new Set(inside)].sort((one, two) => one - two);
      const now = current?.inside ? sorted.indexOf(current.x) : -1;
      return sorted[Math.min(Math.max(now + step, 0), sorted.length - 1)];
    });
  });
  hide();
};

// ---- Tables ----

/** A cell's value: a number where it begins with one, otherwise its text. */
const valueOf = (cell) => {
  const text = cell.textContent.trim();
  if (text === "–" || text === "") return null;
  const raw = cell.dataset.value ?? (/^([-+−]?[\d,]*\.?\d+)(?:\s*%|\s*\[|\s+to\s|$)/.exec(text) || ["", text])[1];
  const number = Number(raw.replace(/,/g, "").replace("−", "-"));
  return Number.isNaN(number) ? raw : number;
};

const compared = (one, two, direction) => {
  if (one === null || two === null) return (one === null) - (two === null); // what is missing comes last
  if (typeof one === typeof two) return direction * (typeof one === "number" ? one - two : one.localeCompare(two));
  return typeof one === "number" ? -1 : 1;
};

const sortable = (table) => {
  const body = table.tBodies[0];
  const given = [...body.rows];
  for (const head of table.tHead.rows[0].cells) {
    if (!head.textContent.trim()) continue;
    const button = make("button", { type: "button", class: "sort" }, head.textContent.trim());
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      const next = { null: "descending", descending: "ascending" }[before];
      if (next) head.setAttribute("aria-sort", next);
      const column = head.cellIndex, direction = next === "ascending" ? 1 : -1;
      body.append(...(next ? [...given].sort((one, two) => compared(valueOf(one.cells[column]), valueOf(two.cells[column]), direction)) : given));
    });
  }
};

/** A field that hides what does not contain its words, and says how much is left. */
const filter = (items, what, before) => {
  const field = make("input", { type: "search", class: "filter", placeholder: `Filter ${what}`, "aria-label": `Filter ${what}` });
  const count = make("span", { class: "count", "aria-live": "polite" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = items.filter((item) => {
      item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
      return !item.hidden;
    });
    count.textContent = words.length ? ` ${left.length} of ${items.length} ${what}` : "";
  });
  const line = make("p", { class: "tools" });
  line.append(field, count);
  before.before(line);
};

const LEAST_ROWS = { sort: 3, filter: 8 };

for (const table of document.querySelectorAll(".output table")) {
  const rows = [...(table.tBodies[0]?.rows ?? [])];
  if (table.tHead?.rows.length !== 1 || table.querySelector("[colspan], [rowspan]")) continue;
  if (rows.length >= LEAST_ROWS.sort) sortable(table);
  if (rows.length >= LEAST_ROWS.filter) filter(rows, "rows", table.closest(".output"));
}

for (const chart of document.querySelectorAll(".chart")) figure(chart);

// ---- Statements ----

const statements = [...document.querySelectorAll("article.statement")];
if (statements.length > 1) filter(statements, "statements", statements[0]);

for (const code of document.querySelectorAll("article.statement pre")) {
  const button = make("button", { type: "button", class: "copy" }, "Copy SQL");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy SQL"; }, 2000);
  });
  code.after(button);
}
