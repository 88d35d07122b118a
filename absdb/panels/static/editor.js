// A box for SQL: Ctrl+Enter runs it, Tab completes a name (and moves on where there is nothing to complete).

export default {
  render({ model, el }) {
    el.classList.add("absdb-editor");
    const area = document.createElement("textarea");
    area.rows = 5;
    area.spellcheck = false;
    area.setAttribute("aria-label", model.get("label"));
    area.placeholder = model.get("placeholder");
    area.value = model.get("value");
    const list = document.createElement("div");
    list.className = "absdb-completions";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "completions");
    el.append(area, list);

    let shown = [];
    let at = 0;
    const hide = () => {
      shown = [];
      list.replaceChildren();
    };
    const mark = () => {
      [...list.children].forEach((child, index) => child.setAttribute("aria-selected", index === at));
      list.children[at]?.scrollIntoView({ block: "nearest" });
    };
    function take(index) {
      const { start, end } = model.get("completing");
      area.setRangeText(shown[index], start, end, "end");
      hide();
      save();
      area.focus();
    }
    const save = () => {
      model.set("value", area.value);
      model.save_changes();
    };
    function show() {
      const found = model.get("completing");
      if (found.text !== area.value || found.cursor !== area.selectionStart) return;
      shown = found.names;
      at = 0;
      if (shown.length === 1) return take(0);
      list.replaceChildren(
        ...shown.map((name, index) => {
          const item = document.createElement("div");
          item.setAttribute("role", "option");
          item.textContent = name;
          item.onmousedown = (event) => {
            event.preventDefault();
            take(index);
          };
          return item;
        }),
      );
      mark();
    }
    area.addEventListener("input", () => {
      hide();
      save();
    });
    area.addEventListener("blur", hide);
    area.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey || event.shiftKey)) {
        save();
        model.send({ type: "run" });
      } else if (shown.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        at = (at + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % shown.length;
        mark();
      } else if (shown.length && (event.key === "Enter" || event.key === "Tab")) take(at);
      else if (shown.length && event.key === "Escape") hide();
      else if (event.key === "Tab" && !event.shiftKey && /[\w."]$/.test(area.value.slice(0, area.selectionStart))) {
        model.send({ type: "complete", text: area.value, cursor: area.selectionStart });
      } else return;
      event.preventDefault();
    });
    model.on("change:completing", show);
    model.on("change:placeholder", () => (area.placeholder = model.get("placeholder")));
    model.on("change:value", () => {
      if (area.value !== model.get("value")) area.value = model.get("value");
    });
  },
};
