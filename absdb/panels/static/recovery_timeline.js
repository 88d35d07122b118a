// What can be recovered: a lane for each timeline, and a handle at the target. The kernel says what stands where, in
// shares of the width; this only places it. Every text is set as text, so HTML in names is shown and never run.

const SVG = "http://www.w3.org/2000/svg";
const NAMES = 112; // room for the names of the lanes
const EDGE = 34;
const AXIS = 30;
const LANE = 92;
const BAND = [26, 50]; // top and bottom of the band within its lane
const BACKUP = 62;
const NEAR_PIXELS = 6;
const PICK_EVERY_MS = 60;

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
    el.classList.add("absdb-recovery");
    const frame = element("div", "absdb-recovery-frame");
    const picture = svg("svg", { role: "group" });
    const pattern = `absdb-missing-${Math.random().toString(36).slice(2)}`;
    const defs = svg("defs");
    const hatch = svg("pattern", { id: pattern, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    hatch.append(svg("rect", { class: "absdb-hatch", width: 2.5, height: 6 }));
    defs.append(hatch);
    const ground = svg("g");
    const handle = svg("g", { class: "absdb-handle", role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 1000 });
    picture.append(defs, ground, handle);
    const foot = element("div", "absdb-recovery-foot");
    const tip = element("div", "absdb-recovery-tip");
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    const words = element("div", "absdb-recovery-words");
    words.id = `absdb-recovery-${Math.random().toString(36).slice(2)}`;
    picture.setAttribute("aria-describedby", words.id);
    frame.append(picture);
    el.append(words, frame, foot, tip);

    let dragged = null; // the timeline that the handle is dragged on
    let told = 0;
    const send = (message) => model.send(message);
    const width = () => Math.max(420, frame.clientWidth || 800);
    const room = () => width() - NAMES - EDGE;
    const x = (share) => NAMES + share * room();
    const top = (lane) => AXIS + lane * LANE;

    function draw() {
      const drawing = model.get("drawing");
      if (!drawing.lanes) return;
      picture.setAttribute("width", width());
      picture.setAttribute("height", AXIS + drawing.lanes.length * LANE + 4);
      picture.setAttribute("aria-label", model.get("label"));
      words.textContent =
        model.get("description") +
        " On the handle, arrow keys move to the previous and next commit, Page Up and Page Down ten at once, Home and End to the ends, + and - zoom.";
      const parts = [];
      for (const tick of drawing.ticks)
        parts.push(
          svg("line", { class: "absdb-tick", x1: x(tick.x), x2: x(tick.x), y1: AXIS - 8, y2: AXIS + drawing.lanes.length * LANE }),
          svg("text", { class: "absdb-small", x: x(tick.x), y: 16, "text-anchor": "middle" }, tick.text),
        );
      parts.push(svg("text", { class: "absdb-small", x: 8, y: 16 }, drawing.day));
      drawing.lanes.forEach((lane, at) => parts.push(...drawLane(lane, at)));
      ground.replaceChildren(...parts);
      tip.hidden = true;
      drawHandle();
      drawFoot(drawing);
    }

    function drawLane(lane, at) {
      const y = top(at);
      const [high, low] = [y + BAND[0], y + BAND[1]];
      const parts = [];
      if (lane.chosen) parts.push(svg("rect", { class: "absdb-lane", x: 0, y, width: width(), height: LANE }));
      if (lane.fork) {
        const from = top(lane.fork.lane) + BAND[1];
        parts.push(svg("path", { class: "absdb-fork", d: `M${x(lane.fork.x)} ${from}V${high}` }));
      }
      parts.push(
        svg("text", { x: 8, y: high + 10 }, `timeline ${lane.timeline}`),
        svg("text", { class: "absdb-small", x: 8, y: high + 24 }, lane.note),
      );
      for (const band of lane.bands)
        parts.push(svg("rect", { class: "absdb-band", x: x(band.x), y: high, width: Math.max(2, (band.to - band.x) * room()), height: low - high }));
      for (const gap of lane.gaps) parts.push(...drawGap(gap, high, low));
      let free = 0;
      for (const tick of lane.commits) {
        const [made, end] = drawTick(tick, high, low, free);
        parts.push(made);
        free = end;
      }
      parts.push(...drawNames(lane.flags, (one) => drawFlag(one, y, low), y + 14, "start", (one) => one.name));
      parts.push(...drawNames(lane.backups, (one) => drawBackup(one, y + BACKUP), y + BACKUP + 20, "middle", (one) => one.label));
      return parts;
    }

    function drawGap(gap, high, low) {
      const [begin, wide] = [x(gap.x), Math.max(6, (gap.to - gap.x) * room())];
      const made = svg("g", { class: "absdb-gap" });
      made.append(
        svg("rect", { x: begin, y: high, width: wide, height: low - high, fill: `url(#${pattern})` }),
        svg("title", {}, gap.text),
      );
      if (wide > 90) made.append(svg("text", { class: "absdb-small", x: begin + wide / 2, y: (high + low) / 2 + 4, "text-anchor": "middle" }, gap.text));
      return [made];
    }

    // A commit is a thin line; deletions make it a bar, the taller the more rows, and large ones say how many.
    function drawTick(tick, high, low, free) {
      const at = x(tick.x);
      const made = svg("g", { class: "absdb-commit" });
      made.append(svg("rect", { x: at - 4, y: high, width: 8, height: low - high, fill: "transparent" }));
      const tall = 10 + (low - high - 10) * (tick.deleted || 0);
      if (tick.deleted) made.append(svg("rect", { class: "absdb-deletes", x: at - 2, y: low - tall, width: 4, height: tall }));
      else made.append(svg("line", { x1: at, x2: at, y1: low - tall, y2: low, "stroke-width": tick.count > 1 ? 2.5 : 1.2 }));
      let end = free;
      if (tick.label && at > free) {
        made.append(svg("text", { class: "absdb-small", x: at + 5, y: high + 12 }, tick.label));
        end = at + 12 + 6.5 * tick.label.length;
      }
      tell(made, tick.text);
      return [made, end];
    }

    function drawFlag(flag, y, low) {
      const at = x(flag.x);
      const made = svg("g", { class: "absdb-flag" });
      made.append(
        svg("line", { x1: at, x2: at, y1: y + 12, y2: low }),
        flag.kind === "snapshot"
          ? svg("path", { d: `M${at} ${y + 5}L${at + 5} ${y + 10}L${at} ${y + 15}L${at - 5} ${y + 10}Z` })
          : svg("path", { d: `M${at} ${y + 4}L${at + 9} ${y + 8}L${at} ${y + 12}Z` }),
      );
      tell(made, flag.text);
      return made;
    }

    function drawBackup(backup, y) {
      const at = x(backup.x);
      const made = svg("g", { class: "absdb-backup" });
      made.append(
        backup.kind === "full"
          ? svg("rect", { x: at - 5, y: y - 5, width: 10, height: 10, rx: 1 })
          : svg("path", { d: `M${at} ${y - 6}L${at + 6} ${y + 5}H${at - 6}Z` }),
      );
      tell(made, backup.text);
      return made;
    }

    // Marks with their names, as far as those find room: the newest ones come first.
    function drawNames(marks, drawMark, y, anchor, name) {
      const parts = [];
      let free = width();
      for (const one of [...marks].reverse()) {
        parts.push(drawMark(one));
        const text = cut(name(one), 24);
        const wide = 6.3 * text.length + 8;
        let begin = anchor === "start" ? x(one.x) + 12 : Math.min(x(one.x) - wide / 2, width() - wide);
        if (begin + wide > free && anchor === "start") begin = Math.min(free, x(one.x) + 6) - wide - 12;
        if (begin + wide > free || begin < NAMES - 12) continue;
        free = Math.min(begin, x(one.x) - 6);
        parts.push(svg("text", { class: "absdb-small", x: begin, y }, text));
      }
      return parts;
    }

    function drawHandle() {
      const drawing = model.get("drawing");
      const target = model.get("handle");
      handle.style.display = target.text && drawing.lanes ? "" : "none";
      if (!target.text || !drawing.lanes || dragged !== null) return;
      place((target.us - drawing.begin) / (drawing.end - drawing.begin), target.lane, target.before);
      handle.setAttribute("aria-label", model.get("label"));
      handle.setAttribute("aria-valuetext", target.text);
    }

    function place(share, lane, before) {
      const at = x(Math.max(-0.01, Math.min(1.01, share))) - (before ? 3 : 0);
      const y = top(lane);
      handle.setAttribute("aria-valuenow", Math.round(1000 * Math.max(0, Math.min(1, share))));
      handle.replaceChildren(
        svg("rect", { class: "absdb-grab", x: at - 12, y: y - 4, width: 24, height: BAND[1] + 12 }),
        svg("line", { x1: at, x2: at, y1: y + 6, y2: y + BAND[1] + 5 }),
        svg("path", { class: "absdb-grip", d: before ? `M${at} ${y + 8}H${at - 12}V${y - 4}H${at}Z` : `M${at} ${y + 10}L${at - 7} ${y + 3}V${y - 5}H${at + 7}V${y + 3}Z` }),
      );
    }

    function tell(node, lines) {
      node.addEventListener("mouseenter", () => {
        tip.replaceChildren(...lines.map((line) => element("div", "", line)));
        tip.hidden = false;
        const outer = el.getBoundingClientRect();
        const box = node.getBoundingClientRect();
        const left = Math.min(box.left - outer.left, outer.width - tip.offsetWidth - 4);
        tip.style.left = `${Math.max(0, left)}px`;
        tip.style.top = `${box.bottom - outer.top + 6}px`;
      });
      node.addEventListener("mouseleave", () => (tip.hidden = true));
    }

    // -- picking

    function pointed(event) {
      const box = picture.getBoundingClientRect();
      const drawing = model.get("drawing");
      const share = Math.max(0, Math.min(1, (event.clientX - box.left - NAMES) / room()));
      const lane = Math.max(0, Math.min(drawing.lanes.length - 1, Math.floor((event.clientY - box.top - AXIS) / LANE)));
      return { share, lane, drawing };
    }

    function pick(share, timeline) {
      const { begin, end } = model.get("drawing");
      const us = Math.round(begin + share * (end - begin));
      send({ type: "pick", us, timeline, near: Math.round((NEAR_PIXELS / room()) * (end - begin)) });
    }

    picture.addEventListener("pointerdown", (event) => {
      const { share, lane, drawing } = pointed(event);
      if (event.button || !drawing.lanes || event.clientX - picture.getBoundingClientRect().left < NAMES - 8) return;
      dragged = lane;
      picture.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      place(share, lane, false);
      event.preventDefault();
    });
    picture.addEventListener("pointermove", (event) => {
      if (dragged === null) return;
      const { share, drawing } = pointed(event);
      place(share, dragged, false);
      if (performance.now() - told > PICK_EVERY_MS) {
        told = performance.now();
        pick(share, drawing.lanes[dragged].timeline);
      }
    });
    picture.addEventListener("pointerup", (event) => {
      if (dragged === null) return;
      const { share, drawing } = pointed(event);
      const lane = dragged;
      dragged = null;
      pick(share, drawing.lanes[lane].timeline);
    });
    picture.addEventListener("pointercancel", () => {
      dragged = null;
      drawHandle();
    });

    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
      if (steps[event.key]) send({ type: "step", by: steps[event.key] });
      else if (event.key === "Home" || event.key === "End") send({ type: "end", last: event.key === "End" });
      else if (event.key === "+" || event.key === "=") send({ type: "zoom", factor: 0.5 });
      else if (event.key === "-") send({ type: "zoom", factor: 2 });
      else if (event.key === "0") send({ type: "all" });
      else return;
      event.preventDefault();
      event.stopPropagation();
    });

    function drawFoot(drawing) {
      const held = foot.contains(document.activeElement) ? document.activeElement.textContent : null;
      const button = (text, message, off) => {
        const made = element("button", "", text);
        made.disabled = off;
        made.onclick = () => send(message);
        return made;
      };
      foot.replaceChildren(
        button("Zoom in", { type: "zoom", factor: 0.5 }, false),
        button("Zoom out", { type: "zoom", factor: 2 }, drawing.all),
        button("All", { type: "all" }, drawing.all),
        button("Earlier", { type: "move", share: -0.5 }, drawing.all),
        button("Later", { type: "move", share: 0.5 }, drawing.all),
        element("span", "", legend(drawing)),
      );
      if (held) [...foot.querySelectorAll("button")].find((one) => one.textContent === held)?.focus();
    }

    function legend(drawing) {
      const any = (what) => drawing.lanes.some(what);
      const told = [
        [any((lane) => lane.bands.length), "\u25AD can be recovered"],
        [any((lane) => lane.gaps.length), "\u25A8 log is missing"],
        [any((lane) => lane.commits.length), "| commit"],
        [any((lane) => lane.commits.some((one) => one.deleted)), "\u258C rows deleted"],
        [any((lane) => lane.backups.some((one) => one.kind === "full")), "\u25A0 full backup"],
        [any((lane) => lane.backups.some((one) => one.kind !== "full")), "\u25B2 incremental"],
        [any((lane) => lane.flags.some((one) => one.kind !== "snapshot")), "\u25B6 restore point"],
        [any((lane) => lane.flags.some((one) => one.kind === "snapshot")), "\u25C6 snapshot"],
      ];
      return told.filter(([is]) => is).map(([, text]) => text).join(" \u00B7 ");
    }

    const watch = new ResizeObserver(draw);
    watch.observe(frame);
    model.on("change:drawing", draw);
    model.on("change:handle", drawHandle);
    draw();
    return () => {
      watch.disconnect();
      model.off("change:drawing", draw);
      model.off("change:handle", drawHandle);
    };
  },
};
