// Zoom over a long time axis: by buttons, by keys, and by dragging across the figure. Only the drawing's own points move.
"use strict";

const DAY = 86_400_000;
const MINUTE = 60_000;
const LONG = 2 * DAY; // a shorter axis shows its details already
const CLOSEST = 30 * MINUTE;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * MINUTE);
const MOST_TICKS = 8;
const ABOVE = 14; // height of a line of text over a panel
const EDGE = 18; // half a label's width
const QUARTER = 15 * MINUTE; // every zone's offset is a multiple of it

const drawn = (svg, name, attributes, text = "") => {
  const made = document.createElementNS(svg.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

/** Weekday, day, hour and minute of a moment on the reader's clock. */
const clockOf = (zone) => {
  const format = new Intl.DateTimeFormat("en", { timeZone: zone, weekday: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return (value) => Object.fromEntries(format.formatToParts(value).map(({ type, value: text }) => [type, text]));
};

/** Round times of the reader's clock between two moments, at most `MOST_TICKS`, and the label of each. */
const timeTicks = (zone, from, to) => {
  const clock = clockOf(zone);
  const step = STEPS.find((one) => (to - from) / one <= MOST_TICKS) ?? STEPS.at(-1);
  const candidate = Math.min(step, QUARTER);
  const found = [];
  for (let time = Math.ceil(from / candidate) * candidate; time <= to; time += candidate) {
    const { weekday, day, hour, minute } = clock(time);
    if (((60 * Number(hour) + Number(minute)) * MINUTE) % step) continue;
    const label = hour === "00" && minute === "00" ? `${weekday} ${day}` : `${hour}:${minute}`;
    found.push({ time, label: found.length || label.includes(" ") ? label : `${weekday} ${day} ${label}` });
  }
  return found;
};

/** What a panel draws over its time axis; null if it has anything that cannot be moved along it. */
const partsOf = (svg, panel, next) => {
  const follows = (one, other) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);
  const own = (one) => follows(panel.note, one) && (!next || follows(one, next.note)) && !one.closest(".axis-x, .axis-y, .legend, defs");
  const clipped = [...svg.querySelectorAll("[clip-path]")].filter(own);
  const shapes = clipped.flatMap((one) => (one.localName === "g" ? [...one.querySelectorAll("path, use, image")].filter((each) => !each.closest("defs")) : [one]));
  const [left, right] = panel.x.at;
  const [bottom, top] = panel.y.at;
  const isTitle = (text) => text.textContent.trim().length > 2 && panel.title.includes(text.textContent.trim());
  const isOver = (text) => { // also just above: numbers of episodes stand there
    const [x, y] = ["x", "y"].map((name) => Number(text.getAttribute(name) ?? NaN));
    return left <= x && x <= right && top - ABOVE <= y && y <= bottom && !isTitle(text);
  };
  const texts = [...svg.querySelectorAll("text")].filter((one) => own(one) && isOver(one));
  const axis = [...svg.querySelectorAll(".axis-x")].find((one) => follows(panel.note, one) && (!next || follows(one, next.note)));
  const targets = shapes.map((one) => (one.localName === "use" && Number(one.getAttribute("x")) === 0 ? document.getElementById(one.getAttribute("href").slice(1)) : one));
  const isMovable = (one) => one && ((one.localName === "use" && one.hasAttribute("x")) || (one.localName === "path" && !one.hasAttribute("transform") && /^[MLCQZz\d\s.,+e-]*$/.test(one.getAttribute("d") ?? "")));
  return axis && targets.every(isMovable) ? { shapes: [...new Set(targets)], texts, axis } : null;
};

/** Numbers at even places of a path are x. */
const movedPath = (path, move) => {
  let count = 0;
  return path.replace(/-?\d*\.?\d+(?:e[-+]?\d+)?/g, (number) => (count++ % 2 ? number : move(Number(number)).toFixed(2)));
};

/** Add zooming to a figure with a long time axis. `changed` is called after each move, `place` returns the place that is read. */
const zoomable = (chart, svg, panels, { changed, place }) => {
  const first = panels.find(({ x }) => x.scale === "time" && x.is[1] - x.is[0] >= LONG);
  if (!first) return null;
  const column = panels.filter(({ x }) => String(x.at) === String(first.x.at) && String(x.is) === String(first.x.is));
  const parts = column.map((panel) => partsOf(svg, panel, panels[panels.indexOf(panel) + 1]));
  if (parts.includes(null)) return null;

  const whole = [...first.x.is];
  const [left, right] = first.x.at;
  const given = new Map();
  for (const one of parts.flatMap(({ shapes, texts }) => [...shapes, ...texts])) given.set(one, ["d", "x", "transform"].map((name) => [name, one.getAttribute(name)]));
  const extra = column.map(() => svg.appendChild(drawn(svg, "g", { class: "ticks" })));
  let view = whole;

  const restore = () => {
    for (const [one, attributes] of given) {
      for (const [name, value] of attributes) if (value !== null) one.setAttribute(name, value);
      one.removeAttribute("visibility");
    }
  };
  const draw = () => {
    const placeOf = (time) => left + ((time - view[0]) / (view[1] - view[0])) * (right - left);
    const scale = (whole[1] - whole[0]) / (view[1] - view[0]);
    const start = left + ((view[0] - whole[0]) / (whole[1] - whole[0])) * (right - left);
    const move = (x) => left + (x - start) * scale;
    restore();
    column.forEach((panel, n) => {
      const { shapes, texts, axis } = parts[n];
      const isWhole = view === whole;
      panel.x.is = [...view];
      if (!isWhole) {
        for (const one of shapes) {
          if (one.localName === "path") one.setAttribute("d", movedPath(one.getAttribute("d"), move));
          else one.setAttribute("x", move(Number(one.getAttribute("x"))).toFixed(2));
        }
        for (const text of texts) {
          const x = move(Number(text.getAttribute("x")));
          text.setAttribute("x", x.toFixed(2));
          if (text.hasAttribute("transform")) text.setAttribute("transform", ""); // matplotlib's rotation by nothing, around the old place
          if (x < left || x > right) text.setAttribute("visibility", "hidden");
        }
      }
      const isName = (one) => one.localName === "text" && one.textContent.trim() === panel.x.name;
      const own = [...axis.querySelectorAll("text, path, use")].filter((one) => !one.closest("defs") && !isName(one));
      for (const one of own) isWhole ? one.removeAttribute("visibility") : one.setAttribute("visibility", "hidden");
      const labels = own.filter((one) => one.localName === "text");
      const ticks = isWhole ? [] : timeTicks(panel.x.zone, ...view);
      const [bottom, top] = panel.y.at;
      extra[n].replaceChildren(...ticks.flatMap(({ time, label }) => {
        const x = placeOf(time).toFixed(2);
        const mark = drawn(svg, "path", { d: `M${x} ${bottom}v3.5`, stroke: "#222222", "stroke-width": "0.8" });
        const text = labels.length ? [drawn(svg, "text", { x, y: labels[0].getAttribute("y"), "text-anchor": x > right - EDGE ? "end" : "middle" }, label)] : [];
        return [drawn(svg, "path", { d: `M${x} ${bottom}V${top}`, stroke: "#e6e6e6", "stroke-width": "0.6" }), mark, ...text];
      }));
    });
    changed();
    announce();
  };
  const show = (from, to) => {
    const length = Math.min(Math.max(to - from, CLOSEST), whole[1] - whole[0]);
    const begin = Math.min(Math.max((from + to - length) / 2, whole[0]), whole[1] - length);
    view = length === whole[1] - whole[0] ? whole : [begin, begin + length];
    draw();
  };
  const zoom = (factor) => {
    const at = place();
    const middle = at === undefined ? (view[0] + view[1]) / 2 : view[0] + ((at - left) / (right - left)) * (view[1] - view[0]);
    const half = ((view[1] - view[0]) * factor) / 2;
    show(middle - half, middle + half);
  };
  const pan = (share) => show(...view.map((end) => end + share * (view[1] - view[0])));
  const reset = () => show(...whole);

  const line = make("p", { class: "tools zoom" });
  const shown = make("span", { class: "range", "aria-live": "polite" });
  const acts = [["Zoom in", "+", () => zoom(0.5)], ["Zoom out", "-", () => zoom(2)], ["Earlier", "Shift+ArrowLeft", () => pan(-0.5)], ["Later", "Shift+ArrowRight", () => pan(0.5)], ["Whole window", "0", reset]];
  const buttons = acts.map(([name, keys, act]) => {
    const button = make("button", { type: "button", class: "copy", "aria-keyshortcuts": keys }, name);
    button.addEventListener("click", act);
    return button;
  });
  line.append(...buttons.flatMap((button) => [button, " "]), shown);
  chart.parentElement.append(line);
  const announce = () => {
    const isWhole = view === whole;
    buttons.forEach((button, n) => { button.disabled = n === 0 ? view[1] - view[0] <= CLOSEST : isWhole; });
    shown.textContent = isWhole ? "or drag across the figure" : `${moment(first.x, view[0])} to ${moment(first.x, view[1])}`;
  };
  announce();

  // A mouse drags across the part to see; a finger scrolls the page as everywhere.
  const frame = svg.appendChild(drawn(svg, "rect", { class: "selection", y: Math.min(...column.flatMap(({ y }) => y.at)), height: Math.max(...column.flatMap(({ y }) => y.at)) - Math.min(...column.flatMap(({ y }) => y.at)), width: 0, visibility: "hidden" }));
  const xOf = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(Math.max(((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width, left), right);
  };
  let from = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" || event.button) return;
    from = xOf(event);
    event.preventDefault(); // no selection of text
    chart.focus();
  });
  svg.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const ends = [from, xOf(event)].sort((one, two) => one - two);
    frame.setAttribute("x", ends[0]);
    frame.setAttribute("width", ends[1] - ends[0]);
    frame.setAttribute("visibility", "visible");
  });
  addEventListener("pointerup", (event) => {
    if (from === null) return;
    const ends = [from, xOf(event)].sort((one, two) => one - two);
    from = null;
    frame.setAttribute("visibility", "hidden");
    if (ends[1] - ends[0] < 4) return;
    show(...ends.map((x) => view[0] + ((x - left) / (right - left)) * (view[1] - view[0])));
  });
  svg.addEventListener("dblclick", reset);

  const keys = { "+": acts[0][2], "=": acts[0][2], "-": acts[1][2], 0: reset };
  return (event) => {
    const act = event.shiftKey && event.key.startsWith("Arrow") ? { ArrowLeft: acts[2][2], ArrowRight: acts[3][2] }[event.key] : keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    act();
    return true;
  };
};
