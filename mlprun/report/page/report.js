// What every page has: data of sections, a switch of themes, and everything open in print.

// The JSON value that a section has under a name (`data` of Section in page.py).
function pageData(name) {
  const holder = document.getElementById("data-" + name);
  return holder === null ? null : JSON.parse(holder.textContent);
}

// An element with properties and children; text is text, never markup.
function make(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Calls `listener` when colours change: canvases are to be drawn again.
function onTheme(listener) {
  document.addEventListener("theme", listener);
}

{
  const button = make("button", { type: "button", className: "theme" });
  const say = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const tell = () => { say(); document.dispatchEvent(new Event("theme")); };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  say();
  document.querySelector("header").append(button);
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
}
