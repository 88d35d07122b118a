// Brings the style sheet, and keeps plain keys in the panel: in JupyterLab a letter typed beside a field is otherwise
// a command of the notebook, and "x" in a grid cuts the cell that shows it. Ctrl, Alt and Cmd stay the notebook's.

function hold(event) {
  if (!(event.target instanceof Element) || !event.target.closest(".absdb-page")) return;
  const command = event.ctrlKey || event.altKey || event.metaKey;
  event.target.toggleAttribute("data-lm-suppress-shortcuts", !command); // asked of what has the focus, and upwards
}

export default {
  render({ el }) {
    el.style.display = "none";
    // JupyterLab listens on the document while the event comes down; the window hears it before.
    window.addEventListener("keydown", hold, true);
    return () => window.removeEventListener("keydown", hold, true);
  },
};
