// Building the page without HTML in strings: what a person or a file wrote is only ever text.
const SVG = "http://www.w3.org/2000/svg";

export const by = (id) => document.getElementById(id);

/** An element. `data: true` marks words that are not ours to translate: IDs, names, classes. */
export function el(name, { text, data, on = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  for (const [event, handler] of Object.entries(on)) made.addEventListener(event, handler);
  if (data) made.setAttribute("translate", "no");
  if (text !== undefined) made.textContent = text;
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function icon(name) {
  const svg = svgEl("svg", { class: "icon", "aria-hidden": "true" });
  svg.append(svgEl("use", { href: `#i-${name}` }));
  return svg;
}

export function svgEl(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** A bar of a share 0…1, with a mark at `mark`; the words beside it say the same. */
export function bar(share, mark = null) {
  const svg = svgEl("svg", { class: "share", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(svgEl("rect", { class: "share-all", y: 3, width: 100, height: 6 }));
  svg.append(svgEl("rect", { class: "share-part", y: 3, width: Math.max(0.5, 100 * share), height: 6 }));
  if (mark !== null) svg.append(svgEl("rect", { class: "share-mark", x: 100 * mark - 0.4, width: 0.8, height: 12 }));
  return svg;
}

/** Read by screen readers at once. */
export function say(words) {
  const said = by("said");
  said.textContent = "";
  setTimeout(() => { said.textContent = words; }, 50);
}
