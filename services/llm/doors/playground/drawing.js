// What was kept of a picture, on a canvas: kept patches clear, dropped ones dimmed, by the rectangles that the service tells.

// Of a canvas, in its own pixels: a scroll of a picture is drawn thinner.
const HIGHEST = 2000;
const STYLE = () => getComputedStyle(document.documentElement);

/**
 * Draw some tiles of a picture.
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLCanvasElement|null} shown the picture; null draws patches alone
 * @param {{width: number, height: number}} drawing of the service's plan: rectangles are in these pixels
 * @param {{box: number[], kept: number[][]}[]} tiles
 * @param {{grid?: boolean, width: number}} options lines between tiles; how wide to draw, in pixels of the canvas
 */
export function draw(canvas, shown, drawing, tiles, { grid = false, width }) {
  const scale = Math.min(width / drawing.width, HIGHEST / drawing.height);
  canvas.width = Math.max(1, Math.round(drawing.width * scale));
  canvas.height = Math.max(1, Math.round(drawing.height * scale));
  const pen = canvas.getContext("2d");
  const style = STYLE();
  const x = canvas.width / drawing.width;
  const y = canvas.height / drawing.height;
  // Edges are rounded, not sizes: what touches in the picture touches here.
  const place = ([left, top, right, bottom]) => [left * x, top * y, right * x, bottom * y].map(Math.round);
  const kept = tiles.flatMap((tile) => tile.kept).map(place);
  dim(pen, shown, style);
  border(pen, kept, style, canvas.width);
  const clear = new Path2D();
  for (const [left, top, right, bottom] of kept) clear.rect(left, top, right - left, bottom - top);
  pen.save();
  pen.clip(clear);
  if (shown) pen.drawImage(shown, 0, 0, canvas.width, canvas.height);
  else fill(pen, "#fff");
  pen.restore();
  if (grid) lines(pen, tiles.map((tile) => place(tile.box)));
}

function fill(pen, colour, alpha = 1) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, pen.canvas.width, pen.canvas.height);
  pen.globalAlpha = 1;
}

function dim(pen, shown, style) {
  const faded = style.getPropertyValue("--dropped").trim();
  if (!shown) {
    fill(pen, faded);
    return;
  }
  pen.imageSmoothingQuality = "high";
  pen.drawImage(shown, 0, 0, pen.canvas.width, pen.canvas.height);
  // Grey, where a filter would not do in every browser.
  pen.globalCompositeOperation = "saturation";
  fill(pen, "#888");
  pen.globalCompositeOperation = "source-over";
  fill(pen, faded, Number(style.getPropertyValue("--veil")));
}

/** Around what is kept, outside of it: that is seen whole. */
function border(pen, kept, style, width) {
  const edge = Math.max(1, Math.round(width / 450));
  pen.fillStyle = style.getPropertyValue("--kept").trim();
  for (const [left, top, right, bottom] of kept) {
    pen.fillRect(left - edge, top - edge, right - left + 2 * edge, bottom - top + 2 * edge);
  }
}

function lines(pen, boxes) {
  const { width, height } = pen.canvas;
  const inside = (edges, last) => [...new Set(edges)].filter((edge) => edge > 0 && edge < last);
  for (const [colour, thickness] of [["rgb(0 0 0 / 60%)", 3], ["#fff", 1]]) {
    pen.fillStyle = colour;
    for (const edge of inside(boxes.flatMap((box) => [box[0], box[2]]), width)) {
      pen.fillRect(edge - Math.floor(thickness / 2), 0, thickness, height);
    }
    for (const edge of inside(boxes.flatMap((box) => [box[1], box[3]]), height)) {
      pen.fillRect(0, edge - Math.floor(thickness / 2), width, thickness);
    }
  }
}
