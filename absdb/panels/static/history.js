// The history of an instance: lanes of databases, marks in columns, links between them. The kernel says what stands in
// which column; this only places it. Every text is set as text, so HTML in names and messages is shown and never run.

const SVG = "http://www.w3.org/2000/svg";
const NAMES = 160; // room for the names of the lanes
const EDGE = 24;
const COLUMN_MIN = 28;
const COLUMN_MAX = 120;
const AXIS = 34;
const NAME_CHARACTERS = 20;

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function cut(text, length) {
  const letters = [...text];
  return letters.length > length ? letters.slice(0, Math.max(1, length - 1)).join("") + "\u2026" : text;
}

export default {
  render({ model, el }) {
    el.classList.add("absdb-history");
    const scroll = element("div", "absdb-history-scroll");
    const axis = svg("svg", { class: "absdb-axis", height: AXIS, "aria-hidden": "true" });
    const picture = svg("svg", { role: "group" });
    const foot = element("div", "absdb-history-foot");
    const tip = element("div", "absdb-history-tip");
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    const words = element("div", "absdb-hidden");
    words.id = `absdb-history-${Math.random().toString(36).slice(2)}`;
    picture.setAttribute("aria-describedby", words.id);
    scroll.append(axis, picture);
    el.append(words, scroll, foot, tip);

    let cells = []; // {cell, node, x, y}
    let active = null; // "lane,lsn" of the mark that Tab leads to
    let roomTold = 0;

    const send = (message) => model.send(message);
    const width = () => Math.max(320, scroll.clientWidth || 800);
    const step = (drawing) =>
      Math.min(COLUMN_MAX, (width() - NAMES - EDGE) / Math.max(1, drawing.columns));
    const laneHeight = (drawing) => (drawing.lanes.length > 12 ? 28 : 38);
    const key = (cell) => `${cell.lane},${cell.lsn}`;

    function draw() {
      const drawing = model.get("drawing");
      if (!drawing.lanes) return;
      const held = picture.contains(document.activeElement);
      const high = laneHeight(drawing);
      const size = step(drawing);
      const x = (column) => (column < 0 ? NAMES - 8 : NAMES + (column + 0.5) * size);
      const y = (lane) => (lane + 0.5) * high + 6;
      for (const one of [axis, picture]) one.setAttribute("width", width());
      picture.setAttribute("height", drawing.lanes.length * high + 12);
      picture.setAttribute("aria-label", model.get("label"));
      words.textContent =
        drawing.description + " Arrow keys move from mark to mark, Enter selects one or opens a group, + and - zoom.";
      drawAxis(drawing, x);
      const chosen = model.get("selected");
      const parts = drawing.ticks.map((tick) =>
        svg("line", { class: "absdb-tick", x1: x(tick.column), x2: x(tick.column), y1: 0, y2: drawing.lanes.length * high + 12 }),
      );
      drawing.lanes.forEach((lane, at) => parts.push(...drawLane(drawing, lane, at, x, y, high, chosen)));
      drawing.links.forEach((link) => parts.push(drawLink(drawing, link, x, y)));
      cells = drawing.cells.map((cell) => {
        const node = drawMark(drawing, cell, x(cell.column), y(cell.lane), size, chosen);
        return { cell, node };
      });
      picture.replaceChildren(...parts, ...cells.map((one) => one.node));
      const first = cells.find((one) => key(one.cell) === active) || cells[cells.length - 1];
      if (first) {
        first.node.setAttribute("tabindex", 0);
        if (held) first.node.focus();
      }
      if (!held) tip.hidden = true;
      drawFoot(drawing);
    }

    function drawAxis(drawing, x) {
      axis.replaceChildren(
        ...drawing.ticks.flatMap((tick) => [
          svg("text", { x: x(tick.column), y: 14, "text-anchor": "middle" }, tick.lsn),
          svg("text", { x: x(tick.column), y: 28, "text-anchor": "middle", class: "absdb-small" }, tick.time),
        ]),
      );
    }

    function drawLane(drawing, lane, at, x, y, high, chosen) {
      const parts = [];
      const isChosen = chosen.database === lane.name;
      if (isChosen) parts.push(svg("rect", { class: "absdb-band", x: 0, y: y(at) - high / 2, width: width(), height: high }));
      const own = drawing.cells.filter((cell) => cell.lane === at).map((cell) => cell.column);
      const begin = lane.from < 0 ? NAMES - 8 : x(lane.from);
      const end = own.length ? x(Math.max(...own)) : begin;
      const line = (from, to, opacity) =>
        svg("line", { x1: from, x2: to, y1: y(at), y2: y(at), stroke: lane.colour, "stroke-width": 2, opacity });
      if (end > begin) parts.push(line(begin, end, 0.9));
      parts.push(line(end, width() - 6, 0.25));
      const name = svg("g", { class: `absdb-lane-name${isChosen ? " absdb-chosen" : ""}` });
      name.append(
        svg("title", {}, lane.protected ? `${lane.name}, protected` : lane.name),
        svg("rect", { x: 6, y: y(at) - 5, width: 10, height: 10, rx: 2, fill: lane.colour }),
        svg("text", { x: 22, y: y(at) + (lane.protected ? -1 : 4) }, cut(lane.name, NAME_CHARACTERS)),
      );
      if (lane.protected) name.append(svg("text", { x: 22, y: y(at) + 11, class: "absdb-small" }, "protected"));
      name.addEventListener("click", () => send({ type: "pick", database: lane.name }));
      parts.push(name);
      return parts;
    }

    function drawLink(drawing, link, x, y) {
      const [x1, y1, x2, y2] = [x(link.from[0]), y(link.from[1]), x(link.to[0]), y(link.to[1])];
      const lane = link.kind === "merge" ? link.from[1] : link.to[1];
      let path;
      if (link.from[1] === link.to[1]) path = `M${x1} ${y1}C${x1} ${y1 - 22} ${x2} ${y2 - 22} ${x2} ${y2}`;
      else {
        const bend = Math.min(30, Math.max(8, (x2 - x1) / 2));
        path = `M${x1} ${y1}L${Math.max(x1, x2 - 2 * bend)} ${y1}C${x2 - bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
        if (link.kind === "branch") path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x1} ${y2} ${x1 + bend} ${y2}L${x2} ${y2}`;
      }
      return svg("path", { class: `absdb-way absdb-way-${link.kind}`, d: path, stroke: drawing.lanes[lane].colour });
    }

    function drawMark(drawing, cell, x, y, size, chosen) {
      const colour = drawing.lanes[cell.lane].colour;
      const database = drawing.lanes[cell.lane].name;
      const made = svg("g", { class: "absdb-mark", role: "button", tabindex: -1, "aria-label": cell.text.join(", ") });
      const isChosen = chosen.database === database && cell.range[0] <= chosen.at && chosen.at <= cell.range[1];
      if (isChosen) {
        made.classList.add("absdb-chosen");
        made.setAttribute("aria-current", "true");
      }
      made.append(svg("rect", { x: x - 13, y: y - 14, width: 26, height: 28, fill: "transparent" }));
      const line = { stroke: colour, "stroke-width": 2 };
      const fill = cell.undone ? { class: "absdb-hollow", ...line, "stroke-dasharray": "2 2" } : { fill: colour };
      if (cell.kind === "group") {
        const wide = 12 + 6 * String(cell.count).length;
        const dashes = cell.undone ? { "stroke-dasharray": "3 2" } : {};
        made.append(
          svg("rect", { x: x - wide / 2 - 3, y: y - 12, width: wide + 6, height: 24, rx: 12, class: "absdb-halo" }),
          svg("rect", { class: "absdb-hollow", x: x - wide / 2, y: y - 9, width: wide, height: 18, rx: 9, ...line, ...dashes }),
          svg("text", { class: "absdb-count", x, y: y + 4 }, cell.count),
        );
      } else {
        made.append(svg("circle", { cx: x, cy: y, r: 10.5, class: "absdb-halo" }));
        if (cell.kind === "merge" || cell.kind === "fast_forward")
          made.append(
            svg("circle", { cx: x, cy: y, r: 7, class: "absdb-hollow", ...line }),
            svg("circle", { cx: x, cy: y, r: 3, fill: colour }),
          );
        else if (cell.kind === "restore" || cell.kind === "undo")
          made.append(svg("path", { d: `M${x - 8} ${y}L${x + 6} ${y - 8}V${y + 8}Z`, ...fill }));
        else if (cell.kind === "branch" || cell.kind === "created")
          made.append(svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8, rx: 1, ...fill }));
        else made.append(svg("circle", { cx: x, cy: y, r: 5, ...fill }));
      }
      if (cell.snapshots.length) made.append(...drawFlag(drawing, cell, x, y, size));
      listen(made, cell, database);
      return made;
    }

    function drawFlag(drawing, cell, x, y, size) {
      const next = drawing.cells
        .filter((other) => other.lane === cell.lane && other.column > cell.column && other.snapshots.length)
        .reduce((least, other) => Math.min(least, other.column), Infinity);
      const room = Math.min(24, Math.floor(((next - cell.column) * size - 14) / 6), Math.floor((width() - x - 14) / 6));
      const name = cell.snapshots[0] + (cell.snapshots.length > 1 ? ` +${cell.snapshots.length - 1}` : "");
      const top = y - 14;
      const parts = [svg("path", { class: "absdb-flag", d: `M${x} ${top - 4.5}L${x + 4.5} ${top}L${x} ${top + 4.5}L${x - 4.5} ${top}Z` })];
      if (room > 3) parts.push(svg("text", { class: "absdb-small", x: x + 7, y: top + 3 }, cut(name, room)));
      return parts;
    }

    function listen(node, cell, database) {
      node.addEventListener("click", () => choose(cell, database));
      node.addEventListener("mouseenter", () => tell(cell, node));
      node.addEventListener("mouseleave", () => (tip.hidden = true));
      node.addEventListener("focus", () => {
        active = key(cell);
        tell(cell, node);
      });
      node.addEventListener("blur", () => (tip.hidden = true));
    }

    function choose(cell, database) {
      active = key(cell);
      if (cell.kind === "group") send({ type: "range", first: cell.range[0], last: cell.range[1] });
      else send({ type: "pick", database, lsn: cell.lsn });
    }

    function tell(cell, node) {
      tip.replaceChildren(...cell.text.map((line) => element("div", "", line)));
      if (cell.kind === "group") tip.append(element("div", "", "Enter or click to open"));
      tip.hidden = false;
      const outer = el.getBoundingClientRect();
      const box = node.getBoundingClientRect();
      const left = Math.min(box.left - outer.left, outer.width - tip.offsetWidth - 4);
      tip.style.left = `${Math.max(0, left)}px`;
      tip.style.top = `${box.bottom - outer.top + 4}px`;
    }

    function move(from, horizontal, vertical) {
      const inLane = (lane) => cells.filter((one) => one.cell.lane === lane).sort((a, b) => a.cell.column - b.cell.column);
      if (horizontal) {
        const own = inLane(from.lane);
        return own[own.findIndex((one) => one.cell === from) + horizontal];
      }
      const lanes = model.get("drawing").lanes.length;
      for (let lane = from.lane + vertical; lane >= 0 && lane < lanes; lane += vertical) {
        const near = inLane(lane).sort(
          (a, b) => Math.abs(a.cell.column - from.column) - Math.abs(b.cell.column - from.column),
        );
        if (near.length) return near[0];
      }
      return undefined;
    }

    picture.addEventListener("keydown", (event) => {
      const here = cells.find((one) => one.node === event.target);
      if (!here) return;
      const own = cells.filter((one) => one.cell.lane === here.cell.lane).sort((a, b) => a.cell.column - b.cell.column);
      const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const ends = { Home: own[0], End: own[own.length - 1] };
      if (event.key === "Enter" || event.key === " ") choose(here.cell, model.get("drawing").lanes[here.cell.lane].name);
      else if (event.key === "+" || event.key === "=") zoom(0.5, here.cell);
      else if (event.key === "-") zoom(2, here.cell);
      else if (event.key === "0") send({ type: "all" });
      else if (event.key === "Escape") tip.hidden = true;
      else if (ways[event.key] || ends[event.key]) {
        const next = ends[event.key] || move(here.cell, ...ways[event.key]);
        if (next) {
          here.node.setAttribute("tabindex", -1);
          next.node.setAttribute("tabindex", 0);
          next.node.focus();
        }
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });

    function zoom(factor, cell) {
      send({ type: "zoom", factor, around: cell ? cell.range[0] : -1 });
    }

    picture.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        const drawing = model.get("drawing");
        const share = (event.clientX - picture.getBoundingClientRect().left - NAMES) / (step(drawing) * drawing.columns);
        const at = Math.round(drawing.first + Math.max(0, Math.min(1, share)) * (drawing.last - drawing.first));
        send({ type: "zoom", factor: event.deltaY > 0 ? 1.5 : 1 / 1.5, around: at });
      },
      { passive: false },
    );

    let dragged = null;
    picture.addEventListener("pointerdown", (event) => {
      if (!event.target.closest(".absdb-mark, .absdb-lane-name")) dragged = event.clientX;
    });
    window.addEventListener("pointerup", dropped);
    function dropped(event) {
      if (dragged === null) return;
      const drawing = model.get("drawing");
      const share = (dragged - event.clientX) / Math.max(1, step(drawing) * drawing.columns);
      dragged = null;
      if (Math.abs(share) > 0.02) send({ type: "move", share: Math.max(-1, Math.min(1, share)) });
    }

    function drawFoot(drawing) {
      const count = drawing.last - drawing.first + 1;
      const all = count >= drawing.total;
      const held = foot.contains(document.activeElement) ? document.activeElement.textContent : null;
      const button = (text, message, off) => {
        const made = element("button", "", text);
        made.disabled = off;
        made.onclick = () => send(message);
        return made;
      };
      const newest = cells.length ? cells.reduce((a, b) => (a.cell.range[1] > b.cell.range[1] ? a : b)).cell : null;
      const around = drawing.last === drawing.total - 1 && newest ? drawing.total - 1 : -1;
      const parts = [
        button("Zoom in", { type: "zoom", factor: 0.5, around }, count <= 1),
        button("Zoom out", { type: "zoom", factor: 2, around }, all),
        button("All", { type: "all" }, all),
        button("Earlier", { type: "move", share: -0.5 }, drawing.first === 0),
        button("Later", { type: "move", share: 0.5 }, drawing.last >= drawing.total - 1),
      ];
      if (drawing.more) parts.push(button("Load older", { type: "older" }, false));
      const shown = drawing.total
        ? `${(drawing.first + 1).toLocaleString("en-US")} to ${(drawing.last + 1).toLocaleString("en-US")} of ` +
          `${drawing.total.toLocaleString("en-US")}${drawing.more ? " newest" : ""} events`
        : "Nothing has happened yet.";
      const status = element("span", "", shown);
      status.setAttribute("role", "status");
      foot.replaceChildren(...parts, status, element("span", "", legend(drawing)));
      if (held) [...foot.querySelectorAll("button")].find((one) => one.textContent === held)?.focus();
    }

    function legend(drawing) {
      const kinds = new Set(drawing.cells.map((cell) => cell.kind));
      const told = [
        [kinds.has("group"), "(12) so many events"],
        [kinds.has("merge") || kinds.has("fast_forward"), "\u25C9 merge"],
        [kinds.has("branch"), "\u25A0 branch made"],
        [kinds.has("restore"), "\u25C0 restore"],
        [drawing.cells.some((cell) => cell.undone), "\u25CC undone"],
        [drawing.cells.some((cell) => cell.snapshots.length), "\u25C6 snapshot"],
      ];
      return told.filter(([is]) => is).map(([, text]) => text).join(" \u00B7 ");
    }

    function room() {
      const slots = Math.max(4, Math.min(400, Math.floor((width() - NAMES - EDGE) / COLUMN_MIN)));
      if (slots !== roomTold && scroll.clientWidth) {
        roomTold = slots;
        send({ type: "room", slots });
      }
      draw();
    }

    const watch = new ResizeObserver(room);
    watch.observe(scroll);
    model.on("change:drawing", draw);
    model.on("change:selected", draw);
    draw();
    return () => {
      watch.disconnect();
      model.off("change:drawing", draw);
      model.off("change:selected", draw);
      window.removeEventListener("pointerup", dropped);
    };
  },
};
