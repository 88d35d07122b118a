// A slider over steps: the browser's own, so that keys and screen readers work; these are told what the step is.

export default {
  render({ model, el }) {
    el.classList.add("absdb-slider");
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "range";
    input.step = 1;
    label.append(document.createElement("span"), input);
    el.append(label);
    function draw() {
      label.firstChild.textContent = model.get("label");
      input.max = model.get("max");
      input.value = model.get("value");
      input.disabled = model.get("disabled");
      input.setAttribute("aria-valuetext", model.get("text"));
    }
    input.addEventListener("input", () => {
      model.set("value", Number(input.value));
      model.save_changes();
    });
    for (const name of ["label", "max", "value", "disabled", "text"]) model.on(`change:${name}`, draw);
    draw();
  },
};
