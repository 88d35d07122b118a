// A table of rows, one page of them at a time. Every text is set as text, so HTML in the data is shown and never run.
// The kernel sends the rows of the page; this asks for another page, an order, or tells what was selected or typed.

const DOUBLE_MS = 500; // two clicks on one cell within this are a double click
const KINDS = { "+": "absdb-added", "~": "absdb-modified", "\u2212": "absdb-removed" };

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function fillCell(cell, value) {
  if (value === null) {
    cell.classList.add("absdb-null");
    cell.textContent = "NULL";
  } else if (typeof value === "object") {
    const old = element("del", "", value.old === null ? "NULL" : value.old);
    cell.append(old, element("b", "", value.new === null ? "NULL" : value.new));
    cell.classList.add("absdb-modified");
    cell.title = `was ${old.textContent}`;
  } else {
    cell.textContent = value;
    if (value.length > 40) cell.title = value;
  }
}

export default {
  render({ model, el }) {
    el.classList.add("absdb-grid");
    const scroll = element("div", "absdb-grid-scroll");
    const foot = element("div", "absdb-grid-foot");
    el.append(scroll, foot);
    let active = { row: 0, column: 0 }; // of the page shown
    let clicked = { at: "", time: 0 }; // the cell that was clicked last
    let wanted = null; // where the focus goes when the next page has come
    let typing = false; // in a cell, which stays as it is until that ends

    const sought = element("input"); // one for all pages: what is typed in it stays
    sought.type = "text";
    sought.placeholder = "go to row";
    sought.setAttribute("aria-label", "go to row");
    sought.dataset.hold = "sought";
    sought.onkeydown = (event) => {
      const row = parseInt(sought.value.replace(/\D/g, ""), 10);
      if (event.key !== "Enter" || !(row > 0)) return;
      sought.value = "";
      goto(Math.floor((row - 1) / pageRows()) * pageRows(), (row - 1) % pageRows());
    };

    const send = (message) => model.send(message);
    const pageRows = () => model.get("page_rows");

    function goto(offset, focusRow) {
      const count = model.get("count");
      const last = count < 0 ? offset : Math.max(0, Math.floor((count - 1) / pageRows()) * pageRows());
      wanted = focusRow === undefined ? null : focusRow;
      send({ type: "page", offset: Math.max(0, Math.min(offset, last)) });
    }

    function head(columns, signed) {
      const row = element("tr");
      row.append(element("th", "absdb-at", "row"));
      if (signed) row.append(element("th", "", ""));
      const sort = model.get("sort");
      columns.forEach((column, at) => {
        const cell = element("th", column.numeric ? "absdb-number" : "");
        cell.scope = "col";
        const mark = sort.column === column.name ? (sort.descending ? " \u25BE" : " \u25B4") : "";
        if (model.get("sortable")) {
          const button = element("button", "absdb-sort", column.name + mark);
          button.title = `sort by ${column.name}`;
          button.dataset.hold = `sort ${at}`;
          button.onclick = () =>
            send({ type: "sort", column: column.name, descending: sort.column === column.name && !sort.descending });
          cell.setAttribute("aria-sort", mark ? (sort.descending ? "descending" : "ascending") : "none");
          cell.append(button);
        } else {
          cell.append(element("span", "", column.name));
        }
        if (column.type) cell.append(element("small", "", column.type));
        row.append(cell);
      });
      const made = element("thead");
      made.append(row);
      return made;
    }

    function draw() {
      const columns = model.get("columns");
      const rows = model.get("rows");
      const offset = model.get("offset");
      const signed = rows.some((row) => row.sign);
      // A button that is drawn anew keeps the focus; from one that cannot be pressed any more it goes to the rows.
      const held = wanted === null && el.contains(document.activeElement) ? document.activeElement.dataset.hold : "";
      const focused = scroll.contains(document.activeElement) || wanted !== null || held;
      if (wanted !== null) active.row = wanted < 0 ? rows.length - 1 : wanted;
      wanted = null;
      active.row = Math.max(0, Math.min(active.row, rows.length - 1));
      active.column = Math.max(0, Math.min(active.column, columns.length - 1));

      const table = element("table");
      table.setAttribute("role", "grid");
      table.setAttribute("aria-label", model.get("label"));
      table.setAttribute("aria-rowcount", model.get("count"));
      table.append(head(columns, signed));
      const body = element("tbody");
      rows.forEach((row, at) => body.append(drawRow(row, at, offset, columns, signed)));
      table.append(body);
      const [left, top] = [scroll.scrollLeft, scroll.scrollTop];
      if (columns.length) scroll.replaceChildren(table);
      else scroll.replaceChildren();
      if (!rows.length) scroll.append(element("div", "absdb-empty", model.get("empty")));
      scroll.scrollLeft = left;
      scroll.scrollTop = top;
      drawFoot(rows.length, offset);
      const again = held && el.querySelector(`[data-hold="${held}"]:not(:disabled)`);
      if (again) again.focus();
      else if (focused) focus();
    }

    function drawRow(row, at, offset, columns, signed) {
      const made = element("tr", row.sign && row.sign !== "~" ? KINDS[row.sign] : "");
      made.setAttribute("aria-rowindex", offset + at + 2);
      if (offset + at === model.get("selected")) made.classList.add("absdb-selected");
      made.append(element("th", "absdb-at", (offset + at + 1).toLocaleString("en-US")));
      if (signed) {
        const sign = element("td", `absdb-sign ${KINDS[row.sign] || ""}`, row.sign);
        sign.setAttribute("aria-label", { "+": "added", "~": "modified", "\u2212": "removed" }[row.sign] || "");
        made.append(sign);
      }
      row.cells.forEach((value, column) => {
        const cell = element("td", columns[column].numeric ? "absdb-number" : "");
        fillCell(cell, value);
        if (columns[column].editable) cell.classList.add("absdb-editable");
        cell.tabIndex = at === active.row && column === active.column ? 0 : -1;
        cell.dataset.at = `${at},${column}`;
        made.append(cell);
      });
      return made;
    }

    function drawFoot(shown, offset) {
      const count = model.get("count");
      const size = pageRows();
      const many = count < 0 || count > size;
      const range = shown
        ? `rows ${(offset + 1).toLocaleString("en-US")} to ${(offset + shown).toLocaleString("en-US")}` +
          (count < 0 ? "" : ` of ${count.toLocaleString("en-US")}`)
        : "";
      const parts = [];
      if (many) {
        const button = (text, to, off) => {
          const made = element("button", "", text);
          made.disabled = off;
          made.dataset.hold = text;
          made.onclick = () => goto(to);
          return made;
        };
        const end = count >= 0 && offset + size >= count;
        parts.push(
          button("first", 0, offset === 0),
          button("previous", offset - size, offset === 0),
          button("next", offset + size, end || !shown),
        );
        if (count >= 0) parts.push(button("last", count - 1, end));
      }
      const status = element("span", "", range);
      status.setAttribute("role", "status");
      parts.push(status);
      if (many) parts.push(sought);
      const note = model.get("note");
      if (note) parts.push(element("span", "", note));
      foot.replaceChildren(...parts);
    }

    function cellAt(row, column) {
      return scroll.querySelector(`td[data-at="${row},${column}"]`);
    }

    function focus() {
      const cell = cellAt(active.row, active.column);
      if (!cell) return;
      scroll.querySelectorAll('td[tabindex="0"]').forEach((other) => (other.tabIndex = -1));
      cell.tabIndex = 0;
      cell.focus({ preventScroll: false });
    }

    function select(row, column) {
      active = { row, column };
      send({ type: "select", row: model.get("offset") + row, column: model.get("columns")[column].name });
    }

    function edit(cell, row, column) {
      const known = JSON.stringify(model.get("rows")[row].cells);
      const old = model.get("rows")[row].cells[column];
      const input = element("input");
      input.value = old === null ? "" : typeof old === "object" ? old.new : old;
      input.setAttribute("aria-label", `${model.get("columns")[column].name}, row ${model.get("offset") + row + 1}`);
      typing = true;
      const end = (keep) => {
        if (!typing) return;
        typing = false;
        // Rows that came meanwhile may have put another one in this place; what was typed is not for that one.
        const moved = JSON.stringify(model.get("rows")[row]?.cells) !== known;
        if (keep && !moved) {
          const name = model.get("columns")[column].name;
          send({ type: "edit", row: model.get("offset") + row, column: name, text: input.value });
        }
        draw();
        if (keep && moved) {
          const told = element("span", "", `${input.value} was not kept: the row has changed meanwhile`);
          told.setAttribute("role", "alert");
          foot.append(told);
        }
        focus();
      };
      input.onkeydown = (event) => {
        event.stopPropagation();
        if (event.key === "Enter") end(true);
        if (event.key === "Escape") end(false);
      };
      input.onblur = () => end(input.value !== (old === null ? "" : old));
      cell.replaceChildren(input);
      input.focus();
      input.select();
    }

    scroll.addEventListener("click", (event) => {
      const cell = event.target.closest("td[data-at]");
      if (!cell || cell.querySelector("input")) return;
      const [row, column] = cell.dataset.at.split(",").map(Number);
      // Not the event dblclick: rows that are drawn anew between the two clicks would take it away.
      const again = cell.dataset.at === clicked.at && event.timeStamp - clicked.time < DOUBLE_MS;
      clicked = again ? { at: "", time: 0 } : { at: cell.dataset.at, time: event.timeStamp };
      if (again && cell.classList.contains("absdb-editable")) return edit(cell, row, column);
      select(row, column);
      focus();
    });
    scroll.addEventListener("keydown", (event) => {
      const cell = event.target.closest("td[data-at]");
      if (!cell) return;
      const rows = model.get("rows").length;
      const columns = model.get("columns").length;
      const offset = model.get("offset");
      const more = model.get("count") < 0 || offset + rows < model.get("count");
      const size = pageRows();
      if (event.key === "ArrowDown" && active.row + 1 === rows && more) goto(offset + size, 0);
      else if (event.key === "ArrowUp" && active.row === 0 && offset > 0) goto(offset - size, -1);
      else if (event.key === "PageDown" && more) goto(offset + size, active.row);
      else if (event.key === "PageUp" && offset > 0) goto(offset - size, active.row);
      else if (event.key === "Enter" && cell.classList.contains("absdb-editable")) edit(cell, active.row, active.column);
      else if (event.key === "Enter" || event.key === " ") select(active.row, active.column);
      else {
        const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (event.key === "Home") active.column = 0;
        else if (event.key === "End") active.column = columns - 1;
        else if (step) {
          active.row = Math.max(0, Math.min(rows - 1, active.row + step[0]));
          active.column = Math.max(0, Math.min(columns - 1, active.column + step[1]));
        } else return;
        focus();
      }
      event.preventDefault();
      event.stopPropagation();
    });

    // One message from the kernel changes several traits; the rows are the last of them to matter.
    let drawing = false;
    const later = () => {
      if (drawing) return;
      drawing = true;
      queueMicrotask(() => {
        drawing = false;
        if (!typing) draw();
      });
    };
    model.on("change:selected", () => {
      const at = model.get("selected") - model.get("offset");
      scroll.querySelectorAll("tbody tr").forEach((row, index) => row.classList.toggle("absdb-selected", index === at));
    });
    for (const name of ["columns", "rows", "count", "offset", "sort", "note", "empty", "label"]) {
      model.on(`change:${name}`, later);
    }
    draw();
  },
};
