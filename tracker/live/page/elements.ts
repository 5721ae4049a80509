/** An element of the page. @throws Error when it is not there */
export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A table row; numbers are `[text, exact]` and stand to the right. */
export type Cell = string | readonly [text: string, exact: number];

/** Makes the rows of a table body be these, by key; what has not changed is left alone. */
export function showRows(
  body: HTMLElement,
  rows: readonly { readonly key: string; readonly cells: readonly Cell[] }[],
): void {
  showChildren(body, rows, {
    make: () => document.createElement('tr'),
    fill: (row, { cells }) => {
      while (row.children.length < cells.length) row.append(document.createElement('td'));
      cells.forEach((cell, at) => {
        const td = row.children[at] as HTMLElement;
        const text = typeof cell === 'string' ? cell : cell[0];
        if (td.textContent !== text) td.textContent = text;
        if (typeof cell === 'string') return;
        td.className = 'number';
        td.dataset['exact'] = String(cell[1]);
      });
    },
  });
}

/** Makes the children of an element be those of the items, in their order, by key: focus stays where it is. */
export function showChildren<T extends { readonly key: string }, E extends HTMLElement>(
  parent: HTMLElement,
  items: readonly T[],
  how: { make(item: T): E; fill(element: E, item: T): void },
): void {
  const known = new Map([...parent.children].map((child) => [(child as HTMLElement).dataset['key'], child]));
  let at: Element | null = parent.firstElementChild;
  for (const item of items) {
    let element = known.get(item.key) as E | undefined;
    known.delete(item.key);
    if (element === undefined) {
      element = how.make(item);
      element.dataset['key'] = item.key;
    }
    how.fill(element, item);
    if (element === at) at = at.nextElementSibling;
    else parent.insertBefore(element, at);
  }
  for (const left of known.values()) left.remove();
}

/** A canvas as large as it is shown, in pixels of the page. */
export function sized(canvas: HTMLCanvasElement, height: number): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}

/** A colour of the style sheet as it is now, light or dark. */
export function colour(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
