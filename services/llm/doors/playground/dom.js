// Elements made by hand: texts are texts, whatever stands in them.

/** The page's element of that id. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element.
 * @param {string} name its tag, with classes behind dots
 * @param {object} [properties] of it; `on` has listeners, `aria` and `data` attributes of these kinds
 * @param {...(Node|string|null)} children
 */
export function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  const { on = {}, aria = {}, data = {}, ...rest } = properties;
  Object.assign(element, rest);
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  for (const [key, value] of Object.entries(aria)) element.setAttribute(`aria-${key}`, value);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** What is shown of a failure: its words, what it is called in the service's log, and a way on where there is one. */
export function failureBox(failure, again = null) {
  const box = make("div.failure", {}, make("strong", {}, failure.title), ` ${failure.message}`);
  if (failure.requestId) box.append(make("small", {}, `The service's log calls it ${failure.requestId}.`));
  if (again) {
    box.append(make("div", {}, make("button.quiet", { type: "button", on: { click: again } }, "Try again")));
  }
  return box;
}
